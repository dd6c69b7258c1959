"""The target of every row: a number, a label, nothing, or unreadable; and whether the labels fit the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipelines.errors import DataError
from pipelines.inference import cells
from pipelines.inference.columns import one_array
from pipelines.inference.recipe import Column, RowRecipe
from pipelines.spec import ModelSpec

SHOWN = 20


def read_target(
    column: pa.ChunkedArray, model: ModelSpec, recipe: RowRecipe
) -> tuple[pd.Series[Any], npt.NDArray[np.bool_]]:
    """Read the target.

    Labels are stripped text; 1, 1.0 and "1" are one label, and a label that only differs from ``positive`` in the
    spelling of a truth value is spelled like it.

    Returns
    -------
    y : Series of float64 (regression) or str, null where there is no label
    bad : (n,) bool, True where the value cannot be read
    """
    number = model.task == "regression"
    one = RowRecipe((Column("y", "number" if number else "category"),), recipe.missing, recipe.missing_values)
    if not number:
        column = _respelled(column, _label_speller(model.positive))
        return _texts(column, one), np.zeros(len(column), dtype=bool)
    clean, bad = one.apply(pa.table({"y": column}))
    return clean["y"], bad["y"].to_numpy()


def check_labels(y: pd.Series[Any], model: ModelSpec) -> dict[str, int]:
    """Give the count of every label of the clean rows, or raise a DataError that lists what was seen."""
    if model.task == "regression":
        if y.nunique() < 2:
            raise DataError(
                "the target has one value only",
                where=model.target,
                seen=sorted(set(y.tolist())),
                expected="values that differ",
                cure="check the target column and the period that is read",
            )
        return {}
    counts = {str(label): int(count) for label, count in y.value_counts().items()}
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


def _label_speller(positive: str | None) -> Callable[[Any], Any]:
    wanted = None if positive is None else cells.canonical_text(positive)

    def spell(value: Any) -> Any:
        text = cells.cell_text(value)
        if text is cells.BAD or text is None:
            return None
        if text == wanted:
            return positive
        stripped = value.strip(cells.WHITESPACE) if isinstance(value, str) else text
        return stripped if text in ("true", "false") else text

    return spell


def _respelled(column: pa.ChunkedArray, spell: Callable[[Any], Any]) -> pa.Array:
    array = one_array(column)
    if pa.types.is_null(array.type) or pa.types.is_nested(array.type):
        return pa.nulls(len(array), pa.large_string())
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    spelled = pa.array([spell(value) for value in encoded.dictionary.to_pylist()], pa.large_string())
    return spelled.take(encoded.indices)


def _texts(array: pa.Array, one: RowRecipe) -> pd.Series[Any]:
    """Null the missing tokens among labels; their spelling stays."""
    missing = one.apply(pa.table({"y": array}))[0]["y"].isna()
    labels = pd.Series(pd.array(array, dtype="str"))
    return labels.mask(missing)
