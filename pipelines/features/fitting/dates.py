"""Fits the steps on dates."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.errors import SpecError
from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.names import check_kinds, free_name, named_columns
from pipelines.features.spec import Age, Cycles, DateParts
from pipelines.inference.operations import dates_ops
from pipelines.inference.operations.base import Operation, Output


def _names(step: Any, data: TrainingData) -> tuple[str, ...]:
    names = named_columns(step.columns, data)
    check_kinds(names, data, ("date",), f"{type(step).__name__}(columns={names})")
    return names


def fit_date_parts(step: DateParts, data: TrainingData) -> FittedStep:
    """Learn the first day, from which elapsed_days counts."""
    names, parts = _names(step, data), tuple(dict.fromkeys(step.parts))

    def first(_: str, moments: Any) -> int:
        given = moments[~np.isnat(moments)].astype(np.int64)
        return int(given.min()) if len(given) else 0

    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    for name, low in zip(names, data.each(names, first), strict=True):
        outputs = tuple(Output(free_name(f"{name}.{part}", taken)) for part in parts)
        operations.append(dates_ops.DateParts((name,), outputs, parts, low - low % dates_ops.DAY_US))
        how |= {output.name: f"{part} of {name}" for output, part in zip(outputs, parts, strict=True)}
    return FittedStep(tuple(operations), how=how)


def fit_cycles(step: Cycles, data: TrainingData) -> FittedStep:
    """Nothing is learned."""
    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    for name in _names(step, data):
        cycles = tuple(dict.fromkeys(step.cycles))
        outputs = tuple(Output(free_name(f"{name}.{c}_{wave}", taken)) for c in cycles for wave in ("sin", "cos"))
        operations.append(dates_ops.DateCycles((name,), outputs, cycles))
        how |= {output.name: f"position of {name} in a cycle" for output in outputs}
    return FittedStep(tuple(operations), how=how)


def fit_age(step: Age, data: TrainingData) -> FittedStep:
    """Nothing is learned."""
    until = step.until or data.time
    if until is None:
        raise SpecError(
            "a feature step has no later date",
            where="features.steps: Age",
            seen="no 'until', and the model has no time column among its columns",
            expected="a date column",
            cure="name it in Age(until=…)",
        )
    check_kinds([until], data, ("date",), f"Age(until={until!r})")
    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    for name in _names(step, data):
        output = Output(free_name(f"{name}.age", taken))
        operations.append(dates_ops.DaysBetween((name, until), (output,)))
        how[output.name] = f"days from {name} to {until}"
    return FittedStep(tuple(operations), how=how)


FITS = {"date_parts": fit_date_parts, "cycles": fit_cycles, "age": fit_age}
