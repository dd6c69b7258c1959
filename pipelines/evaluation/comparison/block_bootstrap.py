"""Bounds for rows of which those of a day are alike: whole days are drawn again, the same ones for all models.

Rows of a day share its weather, its customers and its mistakes; drawn one by one they would pass for more than they
tell, and the bounds would be too narrow. The same holds for rows of one entity: where a group is declared and rows have
no moment, entities take the role of days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.metrics import METRICS
from pipelines.metrics.blocks import CELLS
from pipelines.reserved_columns import GROUP

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Unit = Literal["days", "groups"]
LEAST_DAYS = 8
"""Different days without which rows are taken one by one: so few days do not tell how much days differ."""


def together(rows: pd.DataFrame) -> tuple[Indices | None, Unit]:
    """Return numbers of what rows share, (n,), and what that is: their day, or where none has a moment their entity.

    None where they share neither.
    """
    if GROUP in rows and ("_time" not in rows or rows["_time"].isna().all()):
        codes, names = pd.factorize(rows[GROUP])
        alone = codes < 0
        return np.where(alone, len(names) + np.cumsum(alone) - 1, codes).astype(np.intp), "groups"
    return days_of(rows), "days"


def days_of(rows: pd.DataFrame) -> Indices | None:
    """Return the days (UTC) of rows as numbers, by ``_time``, (n,); None where a row has no moment."""
    times = rows["_time"] if "_time" in rows else pd.Series([pd.NaT])
    if times.isna().any():
        return None
    return pd.to_datetime(times, utc=True).dt.tz_localize(None).to_numpy("datetime64[D]").astype(np.intp)


def day_indices(days: Indices | None) -> tuple[Indices, int]:
    """Return the index of each row's day among the different days, (n,), and how many; 0 where there are too few."""
    if days is None:
        return np.empty(0, np.intp), 0
    different, day_index = np.unique(days, return_inverse=True)
    return day_index, len(different) if len(different) >= LEAST_DAYS else 0


def draws(days: int, rows: int, resamples: int, seed: int) -> Iterator[Array]:
    """Draw days with replacement; how often each was drawn, (some, days), ``resamples`` of them in all."""
    rng, step = np.random.default_rng(seed), max(1, CELLS // max(1, rows))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        yield rng.multinomial(days, np.full(days, 1.0 / days), size=count).astype(np.float64)


def day_scores(
    metric: str,
    truth: Array,
    predictions: Mapping[str, Array],
    day_index: Indices,
    days: int,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Array]:
    """Draw days with replacement and score every model on the same ones; (resamples,) per model, NaN if undefined.

    Parameters
    ----------
    truth, predictions
        As of :func:`pipelines.evaluation.comparison.bootstrap.resampled_scores`.
    day_index
        (n,) the day of each row, from 0 to ``days`` - 1.
    """
    models = {
        name: METRICS[metric].resampled(truth, one).by_block(day_index, days) for name, one in predictions.items()
    }
    found: dict[str, list[Array]] = {name: [] for name in predictions}
    for drawn in draws(days, len(truth), resamples, seed):
        for name, score in models.items():
            found[name].append(score(drawn))
    return {name: np.concatenate(parts) for name, parts in found.items()}
