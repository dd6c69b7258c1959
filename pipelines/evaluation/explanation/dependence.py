"""How predictions change with one column while the others stay as they are: partial dependence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.evaluation.explanation.importance import predictions_with

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
MOST_COLUMNS = 5
MOST_ROWS = 200
"""Rows whose mean prediction is drawn."""
MOST_VALUES = 12
"""Values of a number or a date that are tried."""
FEW_VALUES, FEW_DIFFERENT = 5, 24
"""A column whose quantiles are fewer values than the first is tried at quantiles of its different values, too; one that
has no more different values than the second, at all of them."""
MOST_CATEGORIES = 8
MOST_CLASSES = 5
ENDS = 0.03, 0.97
"""Quantiles between which a number is tried: beyond them, few rows show what the model has learned."""
MISSING = "(missing)"


def partial_dependence(
    clean: pd.DataFrame,
    columns: Iterable[str],
    predict: Callable[[pd.DataFrame], Array],
    classes: Sequence[str],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """Return the mean prediction of some rows with one column set to one value after another (Friedman 2001).

    Columns that go together are taken apart by it: rows are predicted that the world does not hold.

    Parameters
    ----------
    clean
        Rows as the feature plan reads them.
    predict
        Predicts such rows, (n,) or (n, classes).
    classes
        The labels in the order of the columns; empty for regression.

    Returns
    -------
    list of dict
        By column ``column``; ``kind``: number, date or category; ``values``: numbers, days or texts, rising, of a
        category the most frequent first; ``means``: {label: mean predictions at these values}. The labels are the
        positive one, of several classes the most probable ones, for numbers "prediction".
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(clean))[:MOST_ROWS])
    part, columns = clean.iloc[chosen].reset_index(drop=True), list(columns)
    tried = [_tried(clean[column]) for column in columns]
    changes = (
        (column, clean[column].array.take(np.full(len(part), index)))
        for column, (_, indices, _) in zip(columns, tried, strict=True)
        for index in indices
    )
    means = iter([found.mean(axis=0) for found in predictions_with(part, changes, predict)])
    found = []
    for column, (kind, indices, values) in zip(columns, tried, strict=True):
        at_values = np.array([next(means) for _ in indices])
        found.append({"column": column, "kind": kind, "values": values, "means": _named(at_values, classes)})
    return [one for one in found if len(one["values"]) > 1]


def _named(means: Array, classes: Sequence[str]) -> dict[str, list[float]]:
    """Return mean predictions (values,) or (values, classes) by the label that they are of."""
    if not classes:
        return {"prediction": means.tolist()}
    if len(classes) == 2:
        return {classes[1]: means[:, 1].tolist()}
    most = np.sort(np.argsort(-means.mean(axis=0), kind="stable")[:MOST_CLASSES])
    return {classes[index]: means[:, index].tolist() for index in most}


def _tried(column: pd.Series) -> tuple[str, Indices, list[Any]]:
    """Return the kind of a column, rows that hold the values to try, and these values."""
    if pd.api.types.is_datetime64_any_dtype(column):
        moments = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
        stamps = moments.to_numpy(dtype="datetime64[us]")
        indices = _spread(stamps.astype(np.int64), ~np.isnat(stamps))
        return "date", indices, [str(day) for day in stamps[indices].astype("datetime64[D]")]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        indices = _spread(numbers, np.isfinite(numbers))
        return "number", indices, numbers[indices].tolist()
    texts = column.astype(object).where(column.notna(), MISSING).map(str).reset_index(drop=True)
    frequent = texts.value_counts().index[:MOST_CATEGORIES]
    first = ~texts.duplicated()
    index_of = dict(zip(texts[first], np.flatnonzero(first), strict=True))
    return "category", np.array([index_of[text] for text in frequent], np.intp), list(frequent)


def _spread(values: NDArray[Any], given: NDArray[np.bool_]) -> Indices:
    """Return the indices of different values, ascending, with equally many rows between them."""
    order = np.flatnonzero(given)
    order = order[np.argsort(values[order], kind="stable")]
    if not len(order):
        return order
    different = order[np.unique(values[order], return_index=True)[1]]
    if len(different) <= FEW_DIFFERENT:
        return different
    chosen = _evenly(order, *ENDS)
    indices = chosen[np.unique(values[chosen], return_index=True)[1]]
    if len(indices) >= FEW_VALUES:
        return indices
    both = np.concatenate([indices, _evenly(different, *ENDS)])  # the frequent ones, and how far the others reach
    return both[np.unique(values[both], return_index=True)[1]]


def _evenly(indices: Indices, low: float, high: float) -> Indices:
    return indices[(np.linspace(low, high, MOST_VALUES) * (len(indices) - 1)).round().astype(np.intp)]
