"""The metrics that search and gate decide by, weighted by row.

``truth`` is (n,) values or class indices; ``answer`` is (n,) for regression, else (n, classes) probabilities.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOOR = 1e-7
"""Smallest probability that the log loss sees: one surprise costs 16, not infinity."""
GREATER_IS_BETTER = frozenset({"roc_auc", "accuracy"})


def roc_auc(truth: Array, answer: Array, weight: Array) -> float:
    """Give the area under the ROC curve of class 1; NaN when only one class is present.

    The probability that a positive row scores above a negative one, ties counting half (Mann-Whitney).
    """
    order = np.argsort(answer[:, 1])
    ranked, positive = answer[order, 1], truth[order] == 1
    heavy = weight[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    ups = np.add.reduceat(np.where(positive, heavy, 0.0), starts)
    downs = np.add.reduceat(np.where(positive, 0.0, heavy), starts)
    total = ups.sum() * downs.sum()
    if total <= 0.0:
        return float("nan")
    below = np.cumsum(downs) - downs
    return float(ups @ (below + 0.5 * downs) / total)


def row_log_loss(truth: Array, answer: Array) -> Array:
    """Give -log of each row's probability of its own class; a class the model does not know has probability 0."""
    index = truth.astype(np.intp)
    known = (index >= 0) & (index < answer.shape[1])
    own = np.where(known, answer[np.arange(len(answer)), np.where(known, index, 0)], 0.0)
    return np.asarray(-np.log(np.clip(own, FLOOR, 1.0)))


def log_loss(truth: Array, answer: Array, weight: Array) -> float:
    """Give the mean log loss in nats."""
    return float(np.average(row_log_loss(truth, answer), weights=weight))


def rmse(truth: Array, answer: Array, weight: Array) -> float:
    """Give the root of the mean squared error, in the target's unit."""
    return float(np.sqrt(np.average((truth - answer) ** 2, weights=weight)))


def mae(truth: Array, answer: Array, weight: Array) -> float:
    """Give the mean absolute error, in the target's unit."""
    return float(np.average(np.abs(truth - answer), weights=weight))


def accuracy(truth: Array, answer: Array, weight: Array) -> float:
    """Give the share of rows whose most probable class is the true one."""
    return float(np.average(answer.argmax(axis=1) == truth, weights=weight))


METRICS: dict[str, Callable[[Array, Array, Array], float]] = {
    "roc_auc": roc_auc,
    "log_loss": log_loss,
    "rmse": rmse,
    "mae": mae,
    "accuracy": accuracy,
}


def score(metric: str, truth: Array, answer: Array, weight: Array) -> float:
    """Give the metric in its own direction."""
    return METRICS[metric](truth, answer, weight)


def sign(metric: str) -> float:
    """Give 1 if greater is better, else -1."""
    return 1.0 if metric in GREATER_IS_BETTER else -1.0


def loss(metric: str, truth: Array, answer: Array, weight: Array) -> float:
    """Give the metric turned so that smaller is better."""
    return -sign(metric) * score(metric, truth, answer, weight)
