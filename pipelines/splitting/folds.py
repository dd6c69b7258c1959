"""The fold of every training row: a function of its key, its day and the seed, never of the order of the rows."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.errors import DataError

BINS = 10
"""Quantile bins that stand in for classes when a regression is stratified."""
DAYS_PER_FOLD = 2
"""A dated model needs so many days per fold to be split by day."""

Folds = npt.NDArray[np.int8]


def keyed_hash(texts: pd.Series[Any], seed: int) -> npt.NDArray[np.uint64]:
    """Give a SipHash of every text under a key made from the seed, shape (n,)."""
    key = hashlib.blake2b(f"folds:{seed}".encode(), digest_size=8).hexdigest()
    return pd.util.hash_array(texts.to_numpy(dtype=object), hash_key=key, categorize=False)


def assign_folds(rows: pd.DataFrame, folds: int, seed: int, *, task: str, dated: bool) -> tuple[Folds, str]:
    """Assign every row to a fold.

    Parameters
    ----------
    rows
        ``_key`` (text), ``_y`` and, for a dated model, ``_time``.
    folds
        Wanted number of folds.
    dated
        Rows of one day share a fold, where there are ``DAYS_PER_FOLD`` days per fold.

    Returns
    -------
    folds : (n,) int8, from 0, every fold non-empty
    how : str
        ``by day`` or ``stratified``.

    Raises
    ------
    DataError
        Fewer than two different keys.
    """
    if dated:
        day = rows["_time"].groupby(rows["_key"]).transform("min").dt.floor("D")
        count = day.nunique(dropna=False)
        if count >= DAYS_PER_FOLD * folds:
            return _by_day(day, folds, seed), "by day"
    groups = rows.groupby("_key", sort=True)["_y"].min().reset_index()
    if len(groups) < 2:
        raise DataError(
            "too few training rows to split",
            seen=f"{len(groups)} different keys",
            expected="at least 2",
            cure="read more data, or correct the model's key",
        )
    fold = _stratified(groups, min(folds, len(groups)), seed, task)
    by_key = pd.Series(fold, index=groups["_key"])
    return by_key.reindex(rows["_key"]).to_numpy(dtype=np.int8), "stratified"


def _by_day(day: pd.Series[Any], folds: int, seed: int) -> Folds:
    """Deal the days out in hashed order, largest rounds evened by always filling the smallest fold."""
    sizes = day.value_counts(dropna=False).rename_axis("day").reset_index(name="rows")
    sizes["order"] = keyed_hash(sizes["day"].astype(str), seed)
    filled = np.zeros(folds, dtype=np.int64)
    chosen: dict[Any, int] = {}
    for one, rows in sizes.sort_values("order")[["day", "rows"]].itertuples(index=False):
        chosen[one] = int(filled.argmin())
        filled[chosen[one]] += rows
    return day.map(chosen).to_numpy(dtype=np.int8)


def _stratified(groups: pd.DataFrame, folds: int, seed: int, task: str) -> Folds:
    """Deal the keys of each stratum out in hashed order; a stratum goes on at the fold where the last one stopped."""
    stratum = groups["_y"]
    if task == "regression":
        ranks = groups["_y"].rank(method="first" if groups["_y"].nunique() > BINS else "dense")
        stratum = (ranks * BINS / (ranks.max() + 1)).astype(int)
    order = pd.DataFrame({"stratum": stratum, "hash": keyed_hash(groups["_key"], seed), "key": groups["_key"]})
    places = order.sort_values(["stratum", "hash", "key"]).index
    fold = np.empty(len(groups), dtype=np.int8)
    fold[places] = np.arange(len(groups)) % folds
    return fold
