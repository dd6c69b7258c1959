"""Reads the target of every row (a number, a label, missing or unreadable) and checks that the labels fit the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipelines.errors import DataError
from pipelines.inference.recipe import cells
from pipelines.inference.recipe.arrays import one_array
from pipelines.inference.recipe.columns import Kind
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.spec import ModelSpec

SHOWN = 20


def no_target(rows: int) -> Target:
    """Return the target of a model without labels: no row is unlabelled, none is unreadable."""
    return Target(pd.Series(np.zeros(rows)), np.zeros(rows, dtype=bool))


@dataclass(frozen=True)
class Target:
    """The target of every row of one part.

    Parameters
    ----------
    y
        Float64 (regression) or str, null where there is no label, shape (n,).
    bad
        Where the value cannot be read, shape (n,).
    spellings
        Count of every label as it is written: (label, text).
    """

    y: pd.Series[Any]
    bad: npt.NDArray[np.bool_]
    spellings: Counter[tuple[str, str]] = field(default_factory=Counter)


def read_target(column: pa.ChunkedArray, model: ModelSpec, recipe: RowRecipe, how: Column | None = None) -> Target:
    """Read the target.

    Labels are stripped text; 1, 1.0 and "1" are one label, and a label that only differs from ``positive`` in the
    spelling of a truth value is spelled like it.

    Parameters
    ----------
    recipe
        Its missing tokens hold for the target too.
    how
        What is declared and known about the target column.
    """
    kind: Kind = "number" if model.task == "regression" else "category"
    one = RowRecipe((replace(how or Column("y", kind), name="y", kind=kind),), recipe.missing, recipe.missing_values)
    if kind == "category":
        return _labels(column, model, one)
    clean, bad = one.apply(pa.table({"y": column}))
    return Target(clean["y"], bad["y"].to_numpy())


def as_written(spellings: Mapping[tuple[str, str], int]) -> dict[str, str]:
    """Return the most common spelling of each label that differs from its canonical text."""
    best: dict[str, tuple[int, str]] = {}
    for (label, text), count in spellings.items():
        rank = (-count, text)
        if label not in best or rank < best[label]:
            best[label] = rank
    return {label: text for label, (_, text) in sorted(best.items()) if text != label}


def label_counts(y: pd.Series[Any], model: ModelSpec) -> dict[Any, int]:
    """Count the labels of a part; of numbers only the smallest and the largest are kept."""
    if not model.supervised:
        return {}
    if model.task == "regression":
        return dict.fromkeys({float(y.min()), float(y.max())}, 1) if len(y) else {}
    return {str(label): int(count) for label, count in y.value_counts().items()}


def check_labels(counts: Mapping[Any, int], model: ModelSpec) -> dict[str, int]:
    """Return the count of every label of the clean rows, or raise a DataError that lists what was seen."""
    if not model.supervised:
        return {}
    if model.task == "regression":
        if len(counts) < 2:
            raise DataError(
                "the target has one value only",
                where=model.target,
                seen=sorted(counts),
                expected="values that differ",
                cure="check the target column and the period that is read",
            )
        return {}
    counts = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    shown = ", ".join(f"{label!r} ({count})" for label, count in list(counts.items())[:SHOWN])
    shown += f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    what, expected = "", ""
    if len(counts) < 2:
        what, expected = "the target has one class only", "at least two labels"
    elif model.task == "binary" and len(counts) != 2:
        what, expected = "a binary target needs exactly two labels", "two labels, or task 'multiclass'"
    elif model.task == "binary" and model.positive not in counts:
        what, expected = "the positive label does not occur", f"the label {model.positive!r}"
    if what:
        raise DataError(
            what,
            where=model.target,
            seen=shown,
            expected=expected,
            cure="correct target, positive or task in the DAG file, or the labels in the source",
        )
    return counts


def _labels(column: pa.ChunkedArray, model: ModelSpec, one: RowRecipe) -> Target:
    """Read labels once per distinct cell."""
    array = one_array(column)
    bad = np.zeros(len(array), dtype=bool)
    if pa.types.is_null(array.type) or pa.types.is_nested(array.type):
        return Target(pd.Series(pd.array([None] * len(array), dtype="str")), bad)
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    cells_seen = encoded.dictionary.to_pylist()
    rows = [one.read_row({"y": value}) for value in cells_seen]
    how = one.columns[0]
    settled = bool(how.repair or how.aliases or how.truth)
    spell = _speller(model.positive, one, settled)
    found = [spell(value, row["y"]) for value, (row, _) in zip(cells_seen, rows, strict=True)]
    labels = pa.array(found, pa.large_string())
    odd = [bool(names) and isinstance(value, str) for value, (_, names) in zip(cells_seen, rows, strict=True)]
    unreadable = pa.array(odd, pa.bool_())
    bad = unreadable.take(encoded.indices).fill_null(False).to_numpy(zero_copy_only=False)
    counts = np.bincount(encoded.indices.drop_null().to_numpy(zero_copy_only=False), minlength=len(found))
    spellings: Counter[tuple[str, str]] = Counter()
    if not (how.repair or how.aliases):  # a label that is repaired is one that is not as it is written
        for label, value, count in zip(found, cells_seen, counts.tolist(), strict=True):
            if label is not None and count:
                spellings[label, _written(value, model.positive)] += count
    return Target(pd.Series(pd.array(labels.take(encoded.indices), dtype="str")), bad, spellings)


def _written(value: Any, positive: str | None) -> str:
    """Return a label's cell as its source writes it; a truth value in the style of the declared positive label."""
    if isinstance(value, str):
        return cells.normal_text(value.strip(cells.WHITESPACE))
    if isinstance(value, bool):
        style = str.upper if positive in ("TRUE", "FALSE") else str if positive in ("True", "False") else str.lower
        return style(str(value))
    return repr(value) if isinstance(value, float) else str(cells.cell_text(value))


def _speller(positive: str | None, one: RowRecipe, repaired: bool) -> Callable[[Any, str | None], str | None]:
    """Return the function that spells a label from its raw cell and its category text."""
    wanted = None if positive is None else one.read_row({"y": positive})[0]["y"]

    def spell(value: Any, text: str | None) -> str | None:
        if text is None:
            return None
        if text == wanted:
            return positive
        if repaired or text not in ("true", "false"):
            return text
        return value.strip(cells.WHITESPACE) if isinstance(value, str) else text

    return spell
