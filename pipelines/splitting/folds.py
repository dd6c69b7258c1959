"""The fold of every training row: a function of its unit, its day and the seed, never of the order of the rows.

A unit is what must not be torn apart: a key, or a declared group. It is known by its hash.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.errors import DataError
from pipelines.row_hash import key_hash, mixed
from pipelines.spec import CLASSIFICATION

BINS = 10
"""Quantile bins that stand in for classes when a regression is stratified."""
DAYS_PER_FOLD = 2
"""Days per fold that a dated model needs to be split by day."""
NO_FOLD = np.int8(-128)
"""Fold of the embargo's rows, which are left out."""

Folds = npt.NDArray[np.int8]
Ints = npt.NDArray[np.int64]


def assign_folds(
    units: npt.NDArray[np.uint64],
    y: npt.NDArray[Any],
    folds: int,
    seed: int,
    *,
    task: str,
    day: Ints | None = None,
    time_folds: str = "blocked",
    embargo: int = 0,
    judged: float = 1.0,
) -> tuple[Folds, str]:
    """Assign every row to a fold.

    Parameters
    ----------
    units
        Hash of each row's unit, shape (n,); rows of one unit share a fold.
    y
        Target values, or the index of each label among the sorted labels; all alike where there is no target.
    folds
        Wanted number of folds.
    day
        Day of each row, for dated models: all rows of a unit count for its first day, and rows of one day share a fold,
        where there are ``DAYS_PER_FOLD`` days per fold and every fold has rows of two classes.
    time_folds
        ``blocked``: neighbouring days. A row is then judged by models that saw no day near it, as in service;
        between days dealt out one by one a drifting target is interpolated, and scores come out too good.
        ``hashed``: days dealt out.
    embargo
        Days on each side of a border between blocks that are left out.
    judged
        Share of the rows, the latest ones, that blocks are held out of; earlier blocks are numbered below 0.

    Returns
    -------
    folds : (n,) int8, from 0, every fold non-empty; below 0 blocks that never judge; ``NO_FOLD`` for the embargo
    how : str
        ``blocks of days``, ``by day``, ``stratified``, or ``by key`` where there is nothing to stratify by.

    Raises
    ------
    DataError
        Fewer than two different units, or an embargo that leaves a fold without rows (of two classes).
    """
    unit, first, inverse = np.unique(mixed(units, seed), return_index=True, return_inverse=True)
    if day is not None:
        first_day = _least(day, first, inverse)
        days, sizes = np.unique(first_day[inverse], return_counts=True)
        if len(days) >= DAYS_PER_FOLD * folds:
            ways = [_blocks, _dealt] if time_folds == "blocked" else [_dealt]
            for way in ways:
                early = max(0, min(round(folds / judged), len(days) // DAYS_PER_FOLD) - folds) if way is _blocks else 0
                of_day = way(days, sizes, folds + early, seed) - np.int8(early)
                fold = of_day[np.searchsorted(days, first_day)][inverse]
                if task not in CLASSIFICATION or _all_have_classes(fold, y):
                    if way is _blocks:
                        return _without_borders(
                            fold, y, _near_border(day, days, of_day, embargo), task
                        ), "blocks of days"
                    return fold, "by day"
    if len(unit) < 2:
        raise DataError(
            "too few training rows to split",
            seen=f"{len(unit)} different keys",
            expected="at least 2",
            cure="read more data, or correct the model's key",
        )
    stratum = _least(y, first, inverse)
    if task == "regression" and len(np.unique(stratum)) > BINS:
        rank = np.empty(len(unit), np.int64)
        rank[np.lexsort((unit, stratum))] = np.arange(len(unit))
        stratum = rank * BINS // len(unit)
    order = np.lexsort((unit, stratum))
    dealt = np.empty(len(unit), np.int8)
    # a stratum goes on at the fold where the last one stopped
    dealt[order] = np.arange(len(unit)) % min(folds, len(unit))
    return dealt[inverse], "stratified" if len(np.unique(stratum)) > 1 else "by key"


def _least(values: npt.NDArray[Any], first: Ints, inverse: Ints) -> npt.NDArray[Any]:
    """Return the least value of each unit, from the row where it first occurs and the unit of every row."""
    least = values[first]
    if len(first) < len(values):
        np.minimum.at(least, inverse, values)
    return np.asarray(least)


def _blocks(days: Ints, sizes: Ints, folds: int, seed: int) -> Folds:
    """Cut the days where the running count of rows reaches 1/folds, 2/folds, … of all; every block has a day."""
    wanted = ((np.cumsum(sizes) - sizes / 2) / sizes.sum() * folds).astype(np.int64)
    block = np.zeros(len(days), np.int8)
    for index in range(1, len(days)):
        least = max(wanted[index], folds - len(days) + index)
        block[index] = block[index - 1] + (least > block[index - 1])
    return block


def _dealt(days: Ints, sizes: Ints, folds: int, seed: int) -> Folds:
    """Assign the days in hashed order, each to the smallest fold."""
    filled = np.zeros(folds, np.int64)
    chosen = np.empty(len(days), np.int8)
    for index in np.argsort(key_hash(pa.array(days), seed), kind="stable").tolist():
        chosen[index] = filled.argmin()
        filled[chosen[index]] += sizes[index]
    return chosen


def _near_border(day: Ints, days: Ints, of_day: Folds, embargo: int) -> npt.NDArray[np.bool_]:
    """Mark rows within ``embargo`` days of a border: the first day of a block after another."""
    near = np.zeros(len(day), np.bool_)
    if embargo:
        for border in days[1:][(of_day[1:] != of_day[:-1]) & (of_day[1:] >= 0)]:
            near |= (day >= border - embargo) & (day < border + embargo)
    return near


def _without_borders(fold: Folds, y: npt.NDArray[Any], near: npt.NDArray[np.bool_], task: str) -> Folds:
    """Leave the rows of the embargo out."""
    kept = ~near & (fold >= 0)
    count = int(fold.max()) + 1
    some = (
        _with_classes(fold[kept], y[kept], count)
        if task in CLASSIFICATION
        else np.bincount(fold[kept], minlength=count) > 0
    )
    if not some.all():
        raise DataError(
            "the embargo leaves too little of some folds",
            where="SplitSpec.embargo_days",
            seen=f"{int((~near).sum())} of {len(fold)} rows left; "
            f"folds {', '.join(map(str, np.flatnonzero(~some)))} of {count} without "
            + ("rows of two classes" if task in CLASSIFICATION else "rows"),
            expected="blocks of days longer than twice the embargo, each with rows to judge by",
            cure="make embargo_days or folds smaller",
        )
    return np.where(near, NO_FOLD, fold)


def _all_have_classes(fold: Folds, y: npt.NDArray[Any]) -> bool:
    """Tell whether every fold has rows of two classes; most metrics are undefined otherwise."""
    inside = fold >= 0
    return bool(_with_classes(fold[inside], y[inside], int(fold.max()) + 1).all())


def _with_classes(fold: Folds, y: npt.NDArray[Any], count: int) -> npt.NDArray[np.bool_]:
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, fold, y)
    np.maximum.at(high, fold, y)
    return np.asarray(low < high)
