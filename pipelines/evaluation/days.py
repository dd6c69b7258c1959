"""Bounds for rows of which those of a day are alike: whole days are drawn again, the same ones for all models.

Rows of a day share its weather, its customers and its mistakes; drawn one by one they would pass for more than they
tell, and the bounds would be too narrow. The same holds for rows of one entity: where a group is declared and rows have
no moment, entities stand in the place of days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.algorithms import metrics
from pipelines.evaluation.bootstrap import CELLS, Scorer

Array = NDArray[np.float64]
Places = NDArray[np.intp]
Unit = Literal["days", "groups"]
GROUP = "_group"
"""The entity of a row, null where it is one of its own."""
LEAST_DAYS = 8
"""Different days without which rows are taken one by one: so few days do not tell how much days differ."""
MOST_PAIRED = 2_000
"""Days, or entities, up to which each pair of them is counted once; with more, each draw is ranked anew."""


def together(rows: pd.DataFrame) -> tuple[Places | None, Unit]:
    """Give the numbers of what rows share, (n,), and what that is: their day, or where none has a moment their entity.

    None where they share neither.
    """
    if GROUP in rows and ("_time" not in rows or rows["_time"].isna().all()):
        codes, names = pd.factorize(rows[GROUP])
        alone = codes < 0
        return np.where(alone, len(names) + np.cumsum(alone) - 1, codes).astype(np.intp), "groups"
    return days_of(rows), "days"


def days_of(rows: pd.DataFrame) -> Places | None:
    """Give the days (UTC) of rows as numbers, by ``_time``, (n,); None where a row has no moment."""
    times = rows["_time"] if "_time" in rows else pd.Series([pd.NaT])
    if times.isna().any():
        return None
    return pd.to_datetime(times, utc=True).dt.tz_localize(None).to_numpy("datetime64[D]").astype(np.intp)


def placed(days: Places | None) -> tuple[Places, int]:
    """Give the place of each row's day among the different days, and how many there are; 0 where there are too few."""
    if days is None:
        return np.empty(0, np.intp), 0
    different, place = np.unique(days, return_inverse=True)
    return place, len(different) if len(different) >= LEAST_DAYS else 0


def draws(days: int, rows: int, resamples: int, seed: int) -> Iterator[Array]:
    """Draw days with replacement; how often each was drawn, (some, days), ``resamples`` of them in all."""
    rng, step = np.random.default_rng(seed), max(1, CELLS // max(1, rows))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        yield rng.multinomial(days, np.full(days, 1.0 / days), size=count).astype(np.float64)


def day_scores(
    metric: str, truth: Array, answers: Mapping[str, Array], place: Places, days: int, *, resamples: int, seed: int
) -> dict[str, Array]:
    """Draw days with replacement and score every model on the same ones; (resamples,) per model, NaN if undefined.

    Parameters
    ----------
    truth, answers
        As of :func:`pipelines.evaluation.bootstrap.resampled_scores`.
    place
        (n,) the day of each row, from 0 to ``days`` - 1.
    """
    scorers = {name: _scorer(metric, truth, answer, place, days) for name, answer in answers.items()}
    found: dict[str, list[Array]] = {name: [] for name in answers}
    with np.errstate(invalid="ignore", divide="ignore"):
        for drawn in draws(days, len(truth), resamples, seed):
            for name, score in scorers.items():
                found[name].append(np.asarray(score(drawn)))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _scorer(metric: str, truth: Array, answer: Array, place: Places, days: int) -> Callable[[Array], Array]:
    """Give the metric as a function of the days' weights (resamples, days), from what the rows of a day add up to."""
    own = by_day(place, days)
    if metric == "roc_auc" and days <= MOST_PAIRED:
        won, ups, downs = _won(truth, answer[:, 1], place, days), own @ (truth == 1), own @ (truth != 1)
        return lambda drawn: ((drawn @ won) * drawn).sum(axis=1) / ((drawn @ ups) * (drawn @ downs))
    rows = Scorer(metric, truth, answer)
    if metric in ("roc_auc", "pr_auc"):
        return lambda drawn: rows.score(drawn[:, place])
    if metric in metrics.OF_LABELS:
        rows.cells = own @ rows.cells
        return rows.score
    given = ~np.isnan(rows.rows)
    losses, counts = own @ np.where(given, rows.rows, 0.0), own @ given.astype(np.float64)
    if metric == "r2":
        centred = truth - truth.mean()
        sums, squares = own @ centred, own @ centred**2

        def explained(drawn: Array) -> Array:
            count = drawn @ counts
            spread = drawn @ squares / count - (drawn @ sums / count) ** 2
            return np.where(spread > 0, 1.0 - drawn @ losses / count / spread, np.nan)

        return explained
    root = metric in metrics.ROOTS
    return lambda drawn: (drawn @ losses / (drawn @ counts)) ** (0.5 if root else 1.0)


def by_day(place: Places, days: int) -> Any:
    """Give the sparse matrix (days, n) that adds up the rows of each day."""
    from scipy import sparse

    return sparse.csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(days, len(place)))


def _won(truth: Array, score: Array, place: Places, days: int) -> Array:
    """Count, for each pair of days, the positives of the first that score above others of the second; ties half.

    The area under the ROC curve of any days drawn is a sum over their pairs (Mann-Whitney).
    """
    levels, level = np.unique(score, return_inverse=True)
    up = truth == 1
    ups, found = by_day(place[up], days), np.empty((days, days))
    step = max(1, CELLS // max(1, len(score)))
    for start in range(0, days, step):
        width = min(step, days - start)
        few = ~up & (place >= start) & (place < start + width)
        cells = level[few] * width + place[few] - start
        downs = np.bincount(cells, minlength=len(levels) * width).reshape(len(levels), width)
        found[:, start : start + width] = ups @ (np.cumsum(downs, axis=0) - 0.5 * downs)[level[up]]
    return found
