"""Target means by category, shrunk to the overall mean; for a training row, learned from the other folds only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.features.fitting.statistics import square_unit

Array = npt.NDArray[np.float64]


class Encoded(NamedTuple):
    """``training`` (n,) cross-fitted value of every row; ``values`` (size,) and ``prior`` learned from all rows.

    ``strength`` is the weight of the prior in rows; infinite where categories do not differ beyond chance.
    """

    training: Array
    values: Array
    prior: float
    strength: float


def encode(
    codes: npt.NDArray[np.intp],
    size: int,
    fold: npt.NDArray[Any],
    y: Array,
    weight: Array,
    strength: float | None = None,
) -> Encoded:
    """Encode categories by the smoothed mean of ``y``.

    Parameters
    ----------
    codes
        (n,) category of every row, from 0 to ``size`` - 1.
    fold
        (n,) fold of every row; a row's own fold has no part in its value.
    weight
        (n,) positive weights; they are scaled to a mean of 1, so that counts are in rows.
    strength
        Weight ``m`` of the prior in rows; None: estimated (empirical Bayes).

    Notes
    -----
    The value is ``(sum + m * prior) / (count + m)``, the m-estimate: Micci-Barreca, A preprocessing scheme for
    high-cardinality categorical attributes, SIGKDD Explorations 3(1), 2001, equations 3 to 7, where empirical Bayes
    gives ``m`` = variance within categories / variance between them. Both variances come from the one-way analysis
    of variance of unequal group sizes: Searle, Casella, McCulloch, Variance Components (1992), section 3.6.
    """
    unit = float(square_unit(np.abs(y).max(initial=0.0)))
    if unit != 1.0:
        made = encode(codes, size, fold, y / unit, weight, strength)
        low, high = float(y.min()) / unit, float(y.max()) / unit  # rounding must not pass the largest float
        training, values = (np.clip(part, low, high) * unit for part in (made.training, made.values))
        return Encoded(training, values, min(max(made.prior, low), high) * unit, made.strength)
    names, fold_index = np.unique(fold, return_inverse=True)
    w = weight / weight.mean()
    middle = float(np.average(y, weights=w))
    scale = float(np.sqrt(np.average((y - middle) ** 2, weights=w))) or 1.0
    z = (y - middle) / scale  # sums of squares of large numbers with a small spread would lose their digits
    cell, shape = fold_index * size + codes, (len(names), size)
    counts, sums, squares = (
        np.bincount(cell, weights=part, minlength=len(names) * size).reshape(shape) for part in (w, w * z, w * z * z)
    )
    training = np.empty(len(y))
    for number in range(len(names)):
        others = np.arange(len(names)) != number
        values, _, _ = _shrunk(counts[others].sum(0), sums[others].sum(0), squares[others].sum(0), strength)
        inside = fold_index == number
        training[inside] = values[codes[inside]]
    values, prior, used = _shrunk(counts.sum(0), sums.sum(0), squares.sum(0), strength)
    return Encoded(training * scale + middle, values * scale + middle, prior * scale + middle, used)


def _shrunk(counts: Array, sums: Array, squares: Array, strength: float | None) -> tuple[Array, float, float]:
    """Return the shrunk means, the overall mean and the strength used; all are 0 if there are no rows."""
    rows = float(counts.sum())
    if rows == 0.0:
        return np.zeros(len(counts)), 0.0, np.inf
    prior = float(sums.sum() / rows)
    m = estimate_strength(counts, sums, squares) if strength is None else strength
    seen = counts > 0
    means = np.divide(sums, counts, out=np.full(len(counts), prior), where=seen)
    if np.isinf(m):
        return np.full(len(counts), prior), prior, m
    share = np.divide(counts, counts + m, out=np.zeros(len(counts)), where=seen)
    return prior + share * (means - prior), prior, m


def estimate_strength(counts: Array, sums: Array, squares: Array) -> float:
    """Estimate the ratio of variance within to variance between categories, from counts, sums and sums of squares."""
    seen = counts > 0
    n, s, q = counts[seen], sums[seen], squares[seen]
    rows, groups = float(n.sum()), len(n)
    if groups < 2 or rows - groups < 1.0:
        return np.inf
    mean = s.sum() / rows
    within = max(0.0, float((q - s * s / n).sum())) / (rows - groups)
    between = float((n * (s / n - mean) ** 2).sum()) / (groups - 1)
    size = (rows - float((n * n).sum()) / rows) / (groups - 1)
    spread = (between - within) / size
    return within / spread if spread > 0.0 else np.inf
