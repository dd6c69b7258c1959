"""Every metric that is reported of a version, on rows that it never trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, matthews_corrcoef

from pipelines.algorithms import metrics

Array = NDArray[np.float64]
BINS = 10


def all_scores(task: str, truth: Array, answer: Array, weight: Array) -> dict[str, float | None]:
    """Give all metrics of a task; None where one is not defined on these rows.

    Binary: a label is predicted at probability 0.5. Multiclass: the most probable class.
    """
    if task == "regression":
        return _defined(_regression(truth, answer, weight))
    predicted = answer.argmax(axis=1)
    common = {
        "log_loss": metrics.log_loss(truth, answer, weight),
        "accuracy": metrics.accuracy(truth, answer, weight),
        "balanced_accuracy": balanced_accuracy(truth, predicted, weight),
        "mcc": float(matthews_corrcoef(truth, predicted, sample_weight=weight)),
    }
    if task == "multiclass":
        macro = float(f1_score(truth, predicted, average="macro", sample_weight=weight, zero_division=0.0))
        return _defined({**common, "macro_f1": macro})
    positive = answer[:, 1]
    hit = (truth == 1).astype(int)
    both = 0 < hit.sum() < len(hit)
    return _defined(
        {
            **common,
            "roc_auc": metrics.roc_auc(truth, answer, weight),
            "pr_auc": float(average_precision_score(hit, positive, sample_weight=weight)) if both else float("nan"),
            "brier": float(np.average((positive - hit) ** 2, weights=weight)),
            "f1": float(f1_score(hit, predicted, sample_weight=weight, zero_division=0.0)),
            "calibration_error": calibration_error(hit.astype(np.float64), positive, weight),
        }
    )


def balanced_accuracy(truth: Array, predicted: NDArray[np.intp], weight: Array) -> float:
    """Give the mean recall of the classes that are present."""
    classes = np.unique(truth)
    return float(
        np.mean([np.average((predicted == label)[truth == label], weights=weight[truth == label]) for label in classes])
    )


def calibration_error(hit: Array, probability: Array, weight: Array) -> float:
    """Give the expected calibration error over ten bins of equal width (Naeini et al., 2015)."""
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    gap = np.bincount(place, weight * (probability - hit), minlength=BINS)
    return float(np.abs(gap).sum() / weight.sum())


def _regression(truth: Array, answer: Array, weight: Array) -> dict[str, float]:
    centre = np.average(truth, weights=weight)
    spread = float(np.average((truth - centre) ** 2, weights=weight))
    error = metrics.rmse(truth, answer, weight)
    nonzero = truth != 0
    relative = np.abs((truth - answer)[nonzero] / truth[nonzero])
    return {
        "rmse": error,
        "mae": metrics.mae(truth, answer, weight),
        "r2": 1.0 - error**2 / spread if spread > 0 else float("nan"),
        "mape": float(np.average(relative, weights=weight[nonzero])) if nonzero.any() else float("nan"),
    }


def _defined(scores: dict[str, float]) -> dict[str, float | None]:
    return {name: float(value) if np.isfinite(value) else None for name, value in scores.items()}
