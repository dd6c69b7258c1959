"""Exact statistics of one column of training rows, without overflow for any finite numbers.

Means, deviations and shares of texts are weighted by ``_weight``: they estimate the population that was sampled from.
Medians and quantiles are not weighted: they set limits where the training rows are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.inference.operations.base import Numbers

MOST = sys.float_info.max


def quantiles(given: Numbers, shares: Sequence[float]) -> list[float]:
    """Return quantiles of (n,) numbers without NaN, interpolated linearly (definition 7 of Hyndman and Fan, 1996)."""
    if not len(given):
        return [0.0] * len(shares)
    ordered = np.sort(given)  # vectorised sorting takes less time than selecting a few ranks
    positions = (len(given) - 1) * np.asarray(shares, dtype=np.float64)
    below = np.floor(positions).astype(np.intp)
    pairs = ordered[np.stack([below, np.minimum(below + 1, len(given) - 1)])]
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.array([np.quantile(pair, share) for pair, share in zip(pairs.T, positions - below, strict=True)])
    if not np.isfinite(found).all():  # the distance between two neighbours is beyond the largest float
        found = pairs[0]
    return [float(value) for value in found]


def moments(values: Numbers, weight: Numbers) -> tuple[float, float]:
    """Return weighted mean and standard deviation of the numbers that are not NaN; the latter is 1 where it is 0."""
    there = ~np.isnan(values)
    given, w = (values, weight) if there.all() else (values[there], weight[there])
    if not len(given):
        return 0.0, 1.0
    low, high = float(given.min()), float(given.max())
    if low == high:
        return low, 1.0
    unit = float(square_unit(max(abs(low), abs(high))))
    scaled = given if unit == 1.0 else given / unit
    total = float(w.sum())
    mean = float(scaled @ w) / total
    away = scaled - mean
    deviation = float(np.sqrt((away * away) @ w / total))
    return mean * unit, bounded(deviation * unit)


def square_unit(size: Any) -> Any:
    """Return the divisor that keeps the squares of numbers of this size within the range of floats."""
    return np.where((size > 1e150) | ((size < 1e-150) & (size > 0.0)), size, 1.0)


def bounded(scale: float) -> float:
    """Return a safe divisor: 1 for 0, the largest float for infinity."""
    return 1.0 if scale == 0 else min(scale, MOST)


def text_counts(values: pa.DictionaryArray, weight: Numbers | None = None) -> tuple[list[str], Numbers, float]:
    """Return the texts of an encoded column, how many rows (or how much weight) each has, and the missing ones."""
    texts: list[str] = values.dictionary.to_pylist()
    indices = values.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    counts = np.bincount(indices, weights=weight, minlength=len(texts) + 1).astype(np.float64)
    return texts, counts[:-1], float(counts[-1])


def most_frequent(texts: Sequence[str], counts: npt.NDArray[Any], least: float, most: int | None) -> tuple[str, ...]:
    """Return the texts in at least ``least`` rows, most frequent first, then by text."""
    ranked = sorted((-count, text) for text, count in zip(texts, counts.tolist(), strict=True) if count >= least)
    return tuple(text for _, text in ranked[:most])
