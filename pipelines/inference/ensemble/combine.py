"""Combination of the predictions of several members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.members.linear import softmax

Array = NDArray[np.float64]
FLOOR = 1e-6
"""Smallest probability of a member that a logarithm is taken of."""
SUMS = (
    "single",
    "average",
    "weighted_average",
    "soft_vote",
    "blending",
    "bagging",
    "boosting",
    "cascade",
    "hybrid",
    "stacking_features",
    "two_layers",
    "student",
)
"""Kinds whose prediction is the weighted sum of the members' predictions."""
KINDS = (*SUMS, "hard_vote", "stacking")


def combine_predictions(combine: dict[str, Any], predictions: Sequence[Array]) -> Array:
    """Combine the members' predictions, each (n,) or (n, classes).

    ``hard_vote``: each class gets the share of the weights of the members that find it most probable. ``stacking`` of
    numbers: intercept + sum of weight × prediction. ``stacking`` of probabilities: softmax of intercept + sum of
    weight × log probability, that is a multinomial logistic regression on the members' log probabilities with one
    weight per member. All other kinds: sum of weight × prediction; they differ in how weights and members came to be. A
    member of weight 0 is only read by others.

    Parameters
    ----------
    combine
        {"kind", "weights", "intercept"}: ``weights`` one per member, ``intercept`` for stacking alone (one number, or
        one per class).
    """
    kind = combine["kind"]
    used = [(weight, y_pred) for weight, y_pred in zip(combine["weights"], predictions, strict=True) if weight != 0.0]
    if kind == "hard_vote":
        return _votes(used)
    if kind != "stacking":
        return _sum(used)
    intercept = np.asarray(combine["intercept"], dtype=np.float64)
    if predictions[0].ndim == 1:
        total = np.broadcast_to(intercept, predictions[0].shape)
        for weight, y_pred in used:
            total = total + weight * y_pred
        return np.asarray(total)
    total = np.broadcast_to(intercept, predictions[0].shape)
    for weight, y_pred in used:
        total = total + weight * np.log(np.clip(y_pred, FLOOR, 1.0))
    return softmax(total)


def _sum(used: list[tuple[float, Array]]) -> Array:
    (first, y_pred), *others = used
    total = first * y_pred
    for weight, y_pred in others:
        total = total + weight * y_pred
    return np.asarray(total)


def _votes(used: list[tuple[float, Array]]) -> Array:
    total = np.zeros(used[0][1].shape)
    rows = np.arange(len(total))
    for weight, y_pred in used:
        total[rows, y_pred.argmax(axis=1)] += weight
    return np.asarray(total / sum(weight for weight, _ in used))


def scores_of(y_pred: Array) -> Array:
    """Return a member's predictions as columns (n, outputs) that another member can learn from.

    Numbers as they are, two classes as one log odds, more classes as log probabilities.
    """
    if y_pred.ndim == 1:
        return y_pred[:, None]
    logs = np.log(np.clip(y_pred, FLOOR, 1.0))
    return np.asarray(logs[:, 1:] - logs[:, :1]) if y_pred.shape[1] == 2 else np.asarray(logs)


def predictions_of(scores: Array, classes: int) -> Array:
    """Return the predictions with these scores, the inverse of ``scores_of``."""
    if classes == 0:
        return np.asarray(scores[:, 0])
    if classes == 2:
        scores = np.column_stack([np.zeros(len(scores)), scores[:, 0]])
    return softmax(scores)
