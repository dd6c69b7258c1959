"""Fits the steps on texts; nothing is learned."""

from __future__ import annotations

from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.names import check_kinds, free_name, named_columns
from pipelines.features.spec import HashedText, TextLength
from pipelines.inference.operations import text
from pipelines.inference.operations.base import Operation, Output


def fit_hashed_text(step: HashedText, data: TrainingData) -> FittedStep:
    """Make one column per bucket."""
    names = named_columns(step.columns, data)
    check_kinds(names, data, ("category",), f"HashedText(columns={names})")
    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    for name in names:
        width = len(str(step.buckets - 1))
        outputs = tuple(Output(free_name(f"{name}.text_{b:0{width}d}", taken)) for b in range(step.buckets))
        operations.append(text.HashedText((name,), outputs, step.of, *step.ngrams, step.value))
        how |= {output.name: f"{step.value} of the {step.of} of {name} in this bucket" for output in outputs}
    return FittedStep(tuple(operations), how=how)


def fit_text_length(step: TextLength, data: TrainingData) -> FittedStep:
    """Count characters and words."""
    names = named_columns(step.columns, data)
    check_kinds(names, data, ("category",), f"TextLength(columns={names})")
    taken, operations, how = set(data.kinds), list[Operation](), dict[str, str]()
    for name in names:
        outputs = tuple(Output(free_name(f"{name}.{what}", taken)) for what in ("characters", "words"))
        operations.append(text.TextLength((name,), outputs))
        how |= {output.name: f"number of {output.name.rsplit('.', 1)[1]} of {name}" for output in outputs}
    return FittedStep(tuple(operations), how=how)


FITS = {"hashed_text": fit_hashed_text, "text_length": fit_text_length}
