"""The metrics that search and gate decide by, weighted by row.

``truth`` is (n,) values or class indices, -1 for a class that the model does not know; ``answer`` is (n,) for
regression, else (n, classes) probabilities. A label is predicted where its probability is the largest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOOR = 1e-7
"""Smallest probability that the log loss sees: one surprise costs 16, not infinity."""
GREATER_IS_BETTER = frozenset(
    {
        "roc_auc", "pr_auc", "accuracy", "balanced_accuracy", "f1", "macro_f1", "mcc", "r2",
        "silhouette", "explained_variance", "variance_gain",
    }
)  # fmt: skip
ROOTS = frozenset({"rmse", "rmsle"})
"""Metrics that are the root of a mean over rows."""
OF_LABELS = frozenset({"accuracy", "balanced_accuracy", "f1", "macro_f1", "mcc"})
"""Metrics of the predicted labels: they see probabilities only through the largest one."""


def roc_auc(truth: Array, answer: Array, weight: Array) -> float:
    """Give the area under the ROC curve of class 1; NaN when only one class is present.

    The probability that a positive row scores above a negative one, ties counting half (Mann-Whitney).
    """
    ups, downs = ranked(truth, answer[:, 1], weight)
    total = ups.sum() * downs.sum()
    if total <= 0.0:
        return float("nan")
    below = np.cumsum(downs) - downs
    return float(ups @ (below + 0.5 * downs) / total)


def pr_auc(truth: Array, answer: Array, weight: Array) -> float:
    """Give the average precision of class 1: precision at each score, weighted by the recall it adds; NaN without any.

    As in scikit-learn's ``average_precision_score``: a sum, not the trapezoids that flatter.
    """
    ups, downs = (side[::-1] for side in ranked(truth, answer[:, 1], weight))
    total = ups.sum()
    if total <= 0.0:
        return float("nan")
    hits = np.cumsum(ups)
    said = hits + np.cumsum(downs)
    return float(np.sum(ups * np.divide(hits, said, out=np.zeros_like(hits), where=said > 0)) / total)


def ranked(truth: Array, probability: Array, weight: Array) -> tuple[Array, Array]:
    """Give the weight of positive and of other rows at each different score, the lowest first."""
    order = np.argsort(probability)
    scores, positive, heavy = probability[order], truth[order] == 1, weight[order]
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    ups = np.add.reduceat(np.where(positive, heavy, 0.0), starts)
    return ups, np.add.reduceat(np.where(positive, 0.0, heavy), starts)


def row_log_loss(truth: Array, answer: Array) -> Array:
    """Give -log of each row's probability of its own class; a class the model does not know has probability 0."""
    index = truth.astype(np.intp)
    known = (index >= 0) & (index < answer.shape[1])
    own = np.where(known, answer[np.arange(len(answer)), np.where(known, index, 0)], 0.0)
    return np.asarray(-np.log(np.clip(own, FLOOR, 1.0)))


def row_brier(truth: Array, answer: Array) -> Array:
    """Give each row's squared error: of class 1 (binary), or summed over the classes (Brier 1950)."""
    if answer.shape[1] == 2:
        return np.asarray((answer[:, 1] - (truth == 1)) ** 2)
    return np.asarray(((answer - (truth[:, None] == np.arange(answer.shape[1]))) ** 2).sum(axis=1))


def row_percentage(truth: Array, answer: Array) -> Array:
    """Give each row's relative error; NaN where the truth is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(truth != 0, np.abs((truth - answer) / truth), np.nan)


def row_log_error(truth: Array, answer: Array) -> Array:
    """Return each row's squared difference of log(1 + value); values below 0 count as 0."""
    return np.asarray((np.log1p(np.maximum(truth, 0.0)) - np.log1p(np.maximum(answer, 0.0))) ** 2)


def row_poisson(truth: Array, answer: Array) -> Array:
    """Return each row's Poisson deviance (McCullagh and Nelder 1989); predictions below ``FLOOR`` count as it."""
    mean, seen = np.maximum(answer, FLOOR), np.maximum(truth, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(seen > 0, seen * np.log(seen / mean), 0.0)
    return np.asarray(2.0 * (part - seen + mean))


def log_loss(truth: Array, answer: Array, weight: Array) -> float:
    """Give the mean log loss in nats."""
    return float(np.average(row_log_loss(truth, answer), weights=weight))


def brier(truth: Array, answer: Array, weight: Array) -> float:
    """Give the mean squared error of the probabilities."""
    return float(np.average(row_brier(truth, answer), weights=weight))


def rmse(truth: Array, answer: Array, weight: Array) -> float:
    """Give the root of the mean squared error, in the target's unit."""
    return float(np.sqrt(np.average((truth - answer) ** 2, weights=weight)))


def rmsle(truth: Array, answer: Array, weight: Array) -> float:
    """Return the root of the mean squared error of log(1 + value): errors relative to the size of the value."""
    return float(np.sqrt(np.average(row_log_error(truth, answer), weights=weight)))


def poisson_deviance(truth: Array, answer: Array, weight: Array) -> float:
    """Return the mean Poisson deviance, for counts."""
    return float(np.average(row_poisson(truth, answer), weights=weight))


def mae(truth: Array, answer: Array, weight: Array) -> float:
    """Give the mean absolute error, in the target's unit."""
    return float(np.average(np.abs(truth - answer), weights=weight))


def mape(truth: Array, answer: Array, weight: Array) -> float:
    """Give the mean relative error over the rows whose truth is not 0; NaN if there is none."""
    given = (truth != 0) & (weight > 0)
    rows = row_percentage(truth, answer)
    return float(np.average(rows[given], weights=weight[given])) if given.any() else float("nan")


def r2(truth: Array, answer: Array, weight: Array) -> float:
    """Give the share of the variance that is explained; NaN where there is none."""
    spread = float(np.average((truth - np.average(truth, weights=weight)) ** 2, weights=weight))
    return 1.0 - float(np.average((truth - answer) ** 2, weights=weight)) / spread if spread > 0 else float("nan")


def pinball(truth: Array, answer: Array, weight: Array, quantile: float) -> float:
    """Give the mean pinball loss of the answer read as a quantile (Koenker and Bassett 1978), in the target's unit."""
    error = truth - answer
    return float(np.average(np.maximum(quantile * error, (quantile - 1.0) * error), weights=weight))


def confusion(truth: Array, answer: Array, weight: Array) -> Array:
    """Give the weight of each pair (true, predicted) of classes; the last class is the one that no model knows."""
    cells = confusion_cells(truth, answer)
    size = answer.shape[1] + 1
    return np.asarray(np.bincount(cells, weight, minlength=size * size), dtype=np.float64).reshape(size, size)


def confusion_cells(truth: Array, answer: Array) -> NDArray[np.intp]:
    """Give the cell of each row in the flattened confusion matrix."""
    size = answer.shape[1] + 1
    true = np.where(truth < 0, size - 1, truth).astype(np.intp)
    return np.asarray(true * size + answer.argmax(axis=1))


def of_confusion(metric: str, counts: Array) -> Array:
    """Give a metric of labels for confusion matrices (…, k, k)."""
    hit, true, said = np.einsum("...ii->...i", counts), counts.sum(axis=-1), counts.sum(axis=-2)
    total = true.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        if metric == "accuracy":
            return np.asarray(hit.sum(axis=-1) / total)
        if metric == "balanced_accuracy":
            return np.asarray(np.nanmean(np.where(true > 0, hit / true, np.nan), axis=-1))
        if metric == "mcc":  # Gorodkin 2004
            above = hit.sum(axis=-1) * total - (true * said).sum(axis=-1)
            below = np.sqrt((total**2 - (said**2).sum(axis=-1)) * (total**2 - (true**2).sum(axis=-1)))
            return np.asarray(np.where(below > 0, above / below, 0.0))
        own = np.where(true + said > 0, 2.0 * hit / (true + said), np.nan)
        if metric == "f1":
            return np.asarray(np.nan_to_num(own[..., 1]))
        return np.asarray(np.nanmean(own, axis=-1))


def _of_labels(metric: str) -> Callable[[Array, Array, Array], float]:
    return lambda truth, answer, weight: float(of_confusion(metric, confusion(truth, answer, weight)))


METRICS: dict[str, Callable[[Array, Array, Array], float]] = {
    "roc_auc": roc_auc, "pr_auc": pr_auc, "log_loss": log_loss, "brier": brier,
    "rmse": rmse, "mae": mae, "mape": mape, "r2": r2, "rmsle": rmsle, "poisson_deviance": poisson_deviance,
    **{name: _of_labels(name) for name in sorted(OF_LABELS)},
}  # fmt: skip


def accuracy(truth: Array, answer: Array, weight: Array) -> float:
    """Give the share of rows whose most probable class is the true one."""
    return METRICS["accuracy"](truth, answer, weight)


def at_threshold(answer: Array, threshold: float | None) -> Array:
    """Bend probabilities of two classes so that class 1 is the larger from ``threshold`` on; their order stays."""
    if threshold is None or answer.ndim != 2 or answer.shape[1] != 2:
        return answer
    p = answer[:, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        bent = np.where(p >= threshold, 0.5 + 0.5 * (p - threshold) / (1.0 - threshold), 0.5 * p / threshold)
    bent = np.where(p >= threshold, np.clip(np.nan_to_num(bent, nan=1.0), np.nextafter(0.5, 1.0), 1.0), bent)
    return np.column_stack([1.0 - bent, bent])


def score(metric: str, truth: Array, answer: Array, weight: Array) -> float:
    """Give the metric in its own direction."""
    return METRICS[metric](truth, answer, weight)


def sign(metric: str) -> float:
    """Give 1 if greater is better, else -1."""
    return 1.0 if metric in GREATER_IS_BETTER else -1.0


def loss(metric: str, truth: Array, answer: Array, weight: Array) -> float:
    """Give the metric turned so that smaller is better."""
    return -sign(metric) * score(metric, truth, answer, weight)


def error(metric: str, loss: float) -> float:
    """Give what a perfect model would have less of: 1 - score where greater is better, else the loss itself."""
    return loss + 1.0 if metric in GREATER_IS_BETTER else loss
