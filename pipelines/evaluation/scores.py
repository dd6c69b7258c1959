"""Every metric that is reported of a version, on rows that it never trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics import METRICS
from pipelines.metrics.expected import calibration_error
from pipelines.metrics.labels import confusion
from pipelines.metrics.means import pinball

Array = NDArray[np.float64]
QUANTILES = (0.1, 0.5, 0.9)


def all_scores(
    task: str, truth: Array, y_pred: Array, weight: Array, labelled: Array | None = None, judged_by: str = "rmse"
) -> dict[str, float | None]:
    """Return all metrics of a task; None where one is not defined on these rows.

    Binary: precision, recall and F1 are those of class 1. Multiclass: the means over the classes that these rows or
    predictions have. The predicted label is the most probable one of ``labelled``; None: of ``y_pred``. Of the metrics
    for numbers that are never negative only the one that judges is among them.
    """
    if task == "regression":
        names = dict.fromkeys(("rmse", "mae", "r2", "mape", judged_by))
        named = {name: METRICS[name].score(truth, y_pred, weight) for name in names}
        losses = {f"pinball_{100 * q:.0f}": pinball(truth, y_pred, weight, q) for q in QUANTILES}
        return _defined({**named, **losses})
    labelled = y_pred if labelled is None else labelled
    common = {name: METRICS[name].score(truth, y_pred, weight) for name in ("log_loss", "brier")}
    common |= {name: METRICS[name].score(truth, labelled, weight) for name in ("accuracy", "balanced_accuracy", "mcc")}
    counts = confusion(truth, labelled, weight)
    classes = [_of_class(counts, index) for index in range(y_pred.shape[1])]
    present = [one for index, one in enumerate(classes) if counts[index].any() or counts[:, index].any()]
    if task == "multiclass":
        top = y_pred.argmax(axis=1)
        hit = (top == truth).astype(np.float64)
        return _defined(
            {
                **common,
                **{f"macro_{name}": _mean([one[name] for one in present]) for name in ("precision", "recall")},
                "macro_f1": METRICS["macro_f1"].score(truth, y_pred, weight),
                **{
                    f"macro_{name}": _mean(
                        [_against_rest(name, truth, y_pred, weight, k) for k in range(y_pred.shape[1])]
                    )
                    for name in ("roc_auc", "pr_auc")
                },
                "calibration_error": calibration_error(hit, y_pred.max(axis=1), weight),
            }
        )
    hit = (truth == 1).astype(np.float64)
    return _defined(
        {
            **common,
            "roc_auc": METRICS["roc_auc"].score(truth, y_pred, weight),
            "pr_auc": METRICS["pr_auc"].score(truth, y_pred, weight),
            **classes[1],
            **{f"macro_{name}": _mean([one[name] for one in classes]) for name in ("precision", "recall", "f1")},
            "calibration_error": calibration_error(hit, y_pred[:, 1], weight),
        }
    )


def class_scores(truth: Array, y_pred: Array, classes: list[str]) -> list[dict[str, Any]]:
    """Return rows, precision, recall, F1 and the areas of each class against the rest; None where not defined."""
    weight = np.ones(len(truth))
    counts = confusion(truth, y_pred, weight)
    return [
        {
            "class": label,
            "rows": int((truth == index).sum()),
            "predicted": int(counts[:, index].sum()),
            **_defined(
                {
                    **_of_class(counts, index),
                    **{name: _against_rest(name, truth, y_pred, weight, index) for name in ("roc_auc", "pr_auc")},
                }
            ),
        }
        for index, label in enumerate(classes)
    ]


def _of_class(counts: Array, index: int) -> dict[str, float]:
    hit, predicted, actual = counts[index, index], counts[:, index].sum(), counts[index].sum()
    return {
        "precision": float(hit / predicted) if predicted > 0 else 0.0,
        "recall": float(hit / actual) if actual > 0 else float("nan"),
        "f1": float(2.0 * hit / (predicted + actual)) if predicted + actual > 0 else 0.0,
    }


def _against_rest(metric: str, truth: Array, y_pred: Array, weight: Array, index: int) -> float:
    own = y_pred[:, index]
    return METRICS[metric].score((truth == index).astype(np.float64), np.column_stack([1.0 - own, own]), weight)


def _mean(values: list[float]) -> float:
    given = [value for value in values if np.isfinite(value)]
    return float(np.mean(given)) if given else float("nan")


def _defined(scores: dict[str, float]) -> dict[str, float | None]:
    return {name: float(value) if np.isfinite(value) else None for name, value in scores.items()}
