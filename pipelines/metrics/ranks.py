"""Areas under curves: metrics that see the order of the probabilities alone. Only this module computes ROC AUC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics.blocks import CELLS, sums_by_block

Array = NDArray[np.float64]
Index = NDArray[np.intp]

MOST_PAIRED = 2_000
"""Blocks up to which each pair of them is counted once; with more, each draw is ranked anew."""


def roc_area(ups: Array, downs: Array) -> Array:
    """Return the area under the ROC curve; NaN when only one class is present.

    The probability that a positive row scores above a negative one, ties counting half (Mann-Whitney).

    Parameters
    ----------
    ups, downs
        (…, k) weight of positive and of other rows at each different score, the lowest score first.
    """
    total = ups.sum(axis=-1) * downs.sum(axis=-1)
    below = np.cumsum(downs, axis=-1) - downs
    return _divided(np.vecdot(ups, below + 0.5 * downs), total)


def average_precision(ups: Array, downs: Array) -> Array:
    """Return precision at each score, weighted by the recall it adds; NaN without positive rows.

    As in scikit-learn's ``average_precision_score``: a sum, not the trapezoids that flatter. Parameters as of
    :func:`roc_area`.
    """
    ups, downs = ups[..., ::-1], downs[..., ::-1]
    hits = np.cumsum(ups, axis=-1)
    predicted = hits + np.cumsum(downs, axis=-1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    return _divided((ups * precision).sum(axis=-1), ups.sum(axis=-1))


def _divided(part: Array, total: Array) -> Array:
    return np.asarray(np.divide(part, total, out=np.full(np.shape(total), np.nan), where=np.asarray(total > 0)))


def levels(score: Array) -> tuple[Index, Index]:
    """Return the order of rows by score, the lowest first, and where in it each different score begins."""
    order = np.argsort(score)
    ranked = score[order]
    return order, np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])


def by_score(y_true: Array, score: Array, sample_weight: Array) -> tuple[Array, Array]:
    """Return the weight of rows of class 1 and of other rows at each different score, (k,), the lowest first."""
    order, starts = levels(score)
    positive, weight = y_true[order] == 1, sample_weight[order]
    ups = np.add.reduceat(np.where(positive, weight, 0.0), starts)
    return ups, np.add.reduceat(np.where(positive, 0.0, weight), starts)


class RankedRows:
    """The rows of one model in the order of their scores, to be counted under many weights."""

    def __init__(self, area: Callable[[Array, Array], Array], y_true: Array, score: Array) -> None:
        self.area, self.y_true, self.by = area, y_true, score
        self.order, self.starts = levels(score)
        self.positive = (y_true[self.order] == 1).astype(np.float64)

    def score(self, weights: Array) -> Array:
        """Return the area, (m,), under each row of ``weights``, (m, n)."""
        weights = weights[:, self.order]
        ups = np.add.reduceat(weights * self.positive, self.starts, axis=1)
        return self.area(ups, np.add.reduceat(weights * (1.0 - self.positive), self.starts, axis=1))

    def by_block(self, block: Index, blocks: int) -> Callable[[Array], Array]:
        """Return the area as a function of how often each block was drawn, (m, blocks)."""
        return lambda drawn: self.score(drawn[:, block])


class PairedRows(RankedRows):
    """The same for the area under the ROC curve, which is a sum over pairs of blocks."""

    def by_block(self, block: Index, blocks: int) -> Callable[[Array], Array]:
        """Return the area as a function of how often each block was drawn, (m, blocks)."""
        if blocks > MOST_PAIRED:
            return super().by_block(block, blocks)
        own = sums_by_block(block, blocks)
        won = won_by_pair(self.y_true, self.by, block, blocks)
        ups, downs = own @ (self.y_true == 1), own @ (self.y_true != 1)
        return lambda drawn: _divided(((drawn @ won) * drawn).sum(axis=1), (drawn @ ups) * (drawn @ downs))


def won_by_pair(y_true: Array, score: Array, block: Index, blocks: int) -> Array:
    """Count, for each pair of blocks, the positives of the first that score above others of the second; ties half.

    The area under the ROC curve of any blocks drawn is a sum over their pairs (Mann-Whitney).
    """
    different, level = np.unique(score, return_inverse=True)
    up = y_true == 1
    ups, found = sums_by_block(block[up], blocks), np.empty((blocks, blocks))
    step = max(1, CELLS // max(1, len(score)))
    for start in range(0, blocks, step):
        width = min(step, blocks - start)
        few = ~up & (block >= start) & (block < start + width)
        cells = level[few] * width + block[few] - start
        downs = np.bincount(cells, minlength=len(different) * width).reshape(len(different), width)
        found[:, start : start + width] = ups @ (np.cumsum(downs, axis=0) - 0.5 * downs)[level[up]]
    return found


@dataclass(frozen=True)
class Ranked:
    """An area of class 1, and the rows that it is resampled from."""

    area: Callable[[Array, Array], Array]
    rows: type[RankedRows] = RankedRows

    def score(self, y_true: Array, y_pred: Array, sample_weight: Array) -> float:
        """Return the area; ``y_pred`` is (n, 2) probabilities."""
        return float(self.area(*by_score(y_true, y_pred[:, 1], sample_weight)))

    def resampled(self, y_true: Array, y_pred: Array) -> RankedRows:
        """Return the ranked rows."""
        return self.rows(self.area, y_true, y_pred[:, 1])


ROC_AUC, PR_AUC = Ranked(roc_area, PairedRows), Ranked(average_precision)
