"""The paired difference of two models on the same rows, and how sure it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms import metrics

Array = NDArray[np.float64]
CELLS = 4_000_000
"""Resampled weights held at one time."""


def paired_improvements(
    metric: str, truth: Array, new: Array, old: Array, weight: Array, *, resamples: int, seed: int
) -> Array:
    """Resample rows with replacement and give each resample's improvement; greater than 0: ``new`` is better.

    Both models are scored on the same resampled rows. Resamples in which the metric is not defined are left out.

    Parameters
    ----------
    truth
        (n,) values or class indices.
    new, old
        (n,) or (n, classes) answers.
    """
    rng = np.random.default_rng(seed)
    rows = len(truth)
    step = max(1, CELLS // max(1, rows))
    sides = (_Scorer(metric, truth, new), _Scorer(metric, truth, old))
    found = []
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = rng.multinomial(rows, np.full(rows, 1.0 / rows), size=count) * weight
        found.append(metrics.sign(metric) * (sides[0].score(drawn) - sides[1].score(drawn)))
    improvements = np.concatenate(found)
    return improvements[np.isfinite(improvements)]


class _Scorer:
    """Scores one model under many row weights at once."""

    def __init__(self, metric: str, truth: Array, answer: Array) -> None:
        self.metric = metric
        if metric == "roc_auc":
            self.order = np.argsort(answer[:, 1], kind="stable")
            ranked = answer[self.order, 1]
            self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
            self.positive = (truth[self.order] == 1).astype(np.float64)
        elif metric == "log_loss":
            self.rows = metrics.row_log_loss(truth, answer)
        elif metric == "accuracy":
            self.rows = (answer.argmax(axis=1) == truth).astype(np.float64)
        elif metric == "rmse":
            self.rows = (truth - answer) ** 2
        elif metric == "mae":
            self.rows = np.abs(truth - answer)
        else:
            raise ValueError(f"{metric!r} is no metric of the gate")

    def score(self, weights: Array) -> Array:
        """Give the metric for each row of ``weights`` (resamples, n)."""
        if self.metric == "roc_auc":
            return self._auc(weights)
        mean = weights @ self.rows / weights.sum(axis=1)
        return np.sqrt(mean) if self.metric == "rmse" else np.asarray(mean)

    def _auc(self, weights: Array) -> Array:
        heavy = weights[:, self.order]
        ups = np.add.reduceat(heavy * self.positive, self.starts, axis=1)
        downs = np.add.reduceat(heavy * (1.0 - self.positive), self.starts, axis=1)
        below = np.cumsum(downs, axis=1) - downs
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((ups * (below + 0.5 * downs)).sum(axis=1) / (ups.sum(axis=1) * downs.sum(axis=1)))
