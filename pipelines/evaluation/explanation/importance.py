"""Which columns a version's score hangs on: each is shuffled in turn, and the loss is its importance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.metrics import METRICS

Array = NDArray[np.float64]
REPEATS = 2
MOST_CELLS = 60_000
"""Rows times columns that are predicted again, at most, in one repeat."""
LEAST_ROWS = 200
CELLS_AT_ONCE = 4_000_000
"""Cells of the rows that are predicted at one time: a call costs something for each column, however few the rows."""


def kept_alone(
    clean: pd.DataFrame,
    columns: list[str],
    truth: Array,
    predict: Callable[[pd.DataFrame], Array],
    metric: str,
    *,
    rows: int,
    seed: int,
) -> dict[str, float]:
    """Return, by column, the score that is left when all other columns are shuffled together.

    Where a leak is shuffled, the other columns may still order the rows, and its loss is small; alone its score stays
    high. Parameters as of :func:`permutation_importance`.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(clean))[:rows])
    part, known = clean.iloc[chosen].reset_index(drop=True), truth[chosen]
    mixed, weight = part.iloc[rng.permutation(len(part))].reset_index(drop=True), np.ones(len(part))
    alone = ((column, part[column].array) for column in columns)
    return dict(zip(columns, _scores(mixed, alone, known, weight, predict, metric), strict=True))


def permutation_importance(
    clean: pd.DataFrame,
    columns: list[str],
    truth: Array,
    predict: Callable[[pd.DataFrame], Array],
    metric: str,
    *,
    rows: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Shuffle each column of clean rows and score again (Breiman 2001); the most important first.

    Columns that say the same share their importance, or hide it: shuffling one leaves the other.

    Parameters
    ----------
    clean
        Rows as the feature plan reads them, (n, …) in a random or any other order.
    predict
        Predicts clean rows, (n,) or (n, classes).
    rows
        Most rows that are used; fewer where there are many columns.

    Returns
    -------
    list of dict
        ``column``, ``loss`` (what the metric loses, positive is worse), ``error`` (standard error over the repeats).
    """
    rng = np.random.default_rng(seed)
    count = min(len(clean), rows, max(LEAST_ROWS, MOST_CELLS // max(1, len(columns))))
    chosen = np.sort(rng.permutation(len(clean))[:count])
    part, known = clean.iloc[chosen].reset_index(drop=True), truth[chosen]
    weight, turn = np.ones(count), METRICS[metric].sign
    before = METRICS[metric].score(known, predict(part), weight)
    shuffled = ((name, part[name].array.take(rng.permutation(count))) for name in columns for _ in range(REPEATS))
    scores = _scores(part, shuffled, known, weight, predict, metric)
    found = []
    for column in columns:
        losses = [turn * (before - score) for score in islice(scores, REPEATS)]
        error = float(np.std(losses, ddof=1) / REPEATS**0.5)
        if np.isfinite(losses).all():
            found.append({"column": column, "loss": float(np.mean(losses)) + 0.0, "error": error})
    return sorted(found, key=lambda entry: (-entry["loss"], entry["column"]))


def _scores(
    rows: pd.DataFrame,
    changes: Iterable[tuple[str, Any]],
    truth: Array,
    weight: Array,
    predict: Callable[[pd.DataFrame], Array],
    metric: str,
) -> Iterator[float]:
    """Score the rows with one column changed at a time."""
    for y_pred in predictions_with(rows, changes, predict):
        yield METRICS[metric].score(truth, y_pred, weight)


def predictions_with(
    rows: pd.DataFrame, changes: Iterable[tuple[str, Any]], predict: Callable[[pd.DataFrame], Array]
) -> Iterator[Array]:
    """Yield the predictions for the rows with one column changed at a time; many changes are predicted together.

    Parameters
    ----------
    changes
        Names of columns, each with the array of its new values, (n,).
    """
    changes, count = iter(changes), len(rows)
    at_once = max(1, CELLS_AT_ONCE // max(1, count * rows.shape[1]))
    while some := list(islice(changes, at_once)):
        stacked = rows.iloc[np.tile(np.arange(count), len(some))].reset_index(drop=True)
        for column in dict.fromkeys(name for name, _ in some):
            values = stacked[column].array.copy()
            for index, (name, changed) in enumerate(some):
                if name == column:
                    values[index * count : (index + 1) * count] = changed
            stacked[column] = values
        predictions = predict(stacked)
        for index in range(len(some)):
            yield predictions[index * count : (index + 1) * count]
