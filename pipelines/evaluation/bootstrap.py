"""The same resampled rows scored for several models at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms import metrics

Array = NDArray[np.float64]
CELLS = 4_000_000
"""Resampled weights held at one time."""
MEANS = {
    "log_loss": metrics.row_log_loss,
    "brier": metrics.row_brier,
    "rmse": lambda truth, answer: (truth - answer) ** 2,
    "mae": lambda truth, answer: np.abs(truth - answer),
    "r2": lambda truth, answer: (truth - answer) ** 2,
    "mape": metrics.row_percentage,
    "rmsle": metrics.row_log_error,
    "poisson_deviance": metrics.row_poisson,
}
"""Metrics that come from a mean over rows, and what is averaged."""


def resampled_scores(
    metric: str, truth: Array, answers: Mapping[str, Array], *, resamples: int, seed: int
) -> dict[str, Array]:
    """Resample rows with replacement and score every model on the same ones; (resamples,) per model, NaN if undefined.

    Parameters
    ----------
    truth
        (n,) values or class indices.
    answers
        (n,) or (n, classes) by name.
    """
    rng = np.random.default_rng(seed)
    rows = len(truth)
    step = max(1, CELLS // max(1, rows))
    scorers = {name: Scorer(metric, truth, answer) for name, answer in answers.items()}
    found: dict[str, list[Array]] = {name: [] for name in answers}
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = rng.multinomial(rows, np.full(rows, 1.0 / rows), size=count).astype(np.float64)
        for name, scorer in scorers.items():
            found[name].append(scorer.score(drawn))
    return {name: np.concatenate(parts) for name, parts in found.items()}


class Scorer:
    """Scores one model under many row weights at once."""

    def __init__(self, metric: str, truth: Array, answer: Array) -> None:
        self.metric, self.truth = metric, truth
        if metric in ("roc_auc", "pr_auc"):
            self.order = np.argsort(answer[:, 1], kind="stable")
            ranked = answer[self.order, 1]
            self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
            self.positive = (truth[self.order] == 1).astype(np.float64)
        elif metric in metrics.OF_LABELS:
            from scipy import sparse

            self.size = answer.shape[1] + 1
            cells = metrics.confusion_cells(truth, answer)
            ones = np.ones(len(cells)), (np.arange(len(cells)), cells)
            self.cells = sparse.csr_array(ones, shape=(len(cells), self.size**2))
        elif metric in MEANS:
            self.rows = np.asarray(MEANS[metric](truth, answer), dtype=np.float64)
        else:
            raise ValueError(f"{metric!r} is no metric of the gate")

    def score(self, weights: Array) -> Array:
        """Give the metric for each row of ``weights`` (resamples, n)."""
        if self.metric in ("roc_auc", "pr_auc"):
            return self._ranks(weights)
        if self.metric in metrics.OF_LABELS:
            counts = np.asarray((self.cells.T @ weights.T).T).reshape(-1, self.size, self.size)
            return metrics.of_confusion(self.metric, counts)
        given = ~np.isnan(self.rows)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = weights[:, given] @ self.rows[given] / weights[:, given].sum(axis=1)
            if self.metric == "r2":
                total = weights.sum(axis=1)
                centred = self.truth - self.truth.mean()
                spread = weights @ centred**2 / total - (weights @ centred / total) ** 2
                return np.asarray(np.where(spread > 0, 1.0 - mean / spread, np.nan))
        return np.sqrt(mean) if self.metric in metrics.ROOTS else np.asarray(mean)

    def _ranks(self, weights: Array) -> Array:
        heavy = weights[:, self.order]
        ups = np.add.reduceat(heavy * self.positive, self.starts, axis=1)
        downs = np.add.reduceat(heavy * (1.0 - self.positive), self.starts, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.metric == "pr_auc":
                hits = np.cumsum(ups[:, ::-1], axis=1)
                said = hits + np.cumsum(downs[:, ::-1], axis=1)
                precision = np.where(said > 0, hits / said, 0.0)
                return np.asarray((ups[:, ::-1] * precision).sum(axis=1) / ups.sum(axis=1))
            below = np.cumsum(downs, axis=1) - downs
            return np.asarray((ups * (below + 0.5 * downs)).sum(axis=1) / (ups.sum(axis=1) * downs.sum(axis=1)))
