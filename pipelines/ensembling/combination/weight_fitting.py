"""Finds how to combine members from their out-of-fold predictions: equal or greedy weights, votes, a meta-learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from pipelines.algorithms.base import Array
from pipelines.inference.ensemble.combine import FLOOR
from pipelines.inference.members.linear import softmax
from pipelines.metrics import METRICS, means

Mask = NDArray[np.bool_]

PATIENCE = 4
"""Greedy rounds without a gain before it ends."""
LEAST_WEIGHT = 0.01
STACK_CELLS = 60_000
"""Rows times classes that the meta-learner is fitted on: it has few parameters."""


def single(predictions: list[Array], y: Array, w: Array, metric: str) -> dict[str, Any]:
    """Choose the best member."""
    losses = [METRICS[metric].loss(y, y_pred, w) for y_pred in predictions]
    weights = [0.0] * len(predictions)
    weights[int(np.argmin(losses))] = 1.0
    return {"kind": "single", "weights": weights}


def average(count: int, size: int) -> dict[str, Any]:
    """Return the first ``size`` of ``count`` members equal weights."""
    return {"kind": "average", "weights": [1.0 / size] * size + [0.0] * (count - size)}


def vote(kind: str, predictions: list[Array], y: Array, w: Array, size: int) -> dict[str, Any]:
    """Weigh the first ``size`` members by how often their most probable class is the true one.

    The weight of a member of accuracy a is log(a / (1 - a)) + log(classes - 1), the best one for independent voters
    (Kuncheva, Combining Pattern Classifiers, 2004, section 4.3.3); a member at chance gets a trace. ``hard_vote``
    counts classes, ``soft_vote`` adds probabilities.
    """
    classes = predictions[0].shape[1]
    right = np.array([np.average(y_pred.argmax(axis=1) == y, weights=w) for y_pred in predictions[:size]])
    right = np.clip(right, 1e-3, 1.0 - 1e-3)
    trust = np.maximum(np.log(right / (1.0 - right)) + np.log(classes - 1.0), LEAST_WEIGHT)
    weights = [*(trust / trust.sum()).tolist(), *[0.0] * (len(predictions) - size)]
    return {"kind": kind, "weights": weights}


def greedy(predictions: list[Array], y: Array, w: Array, metric: str, *, rounds: int, most: int) -> dict[str, Any]:
    """Choose weights by adding, with replacement, the member that helps most (Caruana et al., 2004).

    Parameters
    ----------
    most
        Members that may get a weight.
    """
    return greedy_path(predictions, y, w, metric, rounds=rounds, most=most)[-1]


def greedy_path(
    predictions: list[Array],
    y: Array,
    w: Array,
    metric: str,
    *,
    rounds: int,
    most: int,
    allowed: Callable[[Mask], bool] = lambda used: True,
) -> list[dict[str, Any]]:
    """Return the best weights found with one member, with at most two, and so on up to ``most``.

    Parameters
    ----------
    allowed
        Whether members, given as an array of bools, may be together.
    """
    counts = np.zeros(len(predictions))
    if metric == "log_loss":
        # Only the probability of a row's own class counts: one column stands for all.
        rows, own = np.arange(len(y)), y.astype(np.intp)
        predictions = [y_pred[rows, own] for y_pred in predictions]

    def loss(y_pred: Array) -> float:
        if metric == "log_loss":
            return float(-np.average(np.log(np.clip(y_pred, means.FLOOR, 1.0)), weights=w))
        return METRICS[metric].loss(y, y_pred, w)

    total = np.zeros_like(predictions[0])
    best_loss, best = np.inf, counts
    path: list[Array] = []
    since = 0
    for step in range(1, rounds + 1):
        losses = [
            loss((total + y_pred) / step) if counts[index] or _fits(counts, index, most, allowed) else np.inf
            for index, y_pred in enumerate(predictions)
        ]
        index = int(np.argmin(losses))
        if not np.isfinite(losses[index]):
            break
        if not counts[index] and best.any():
            path.append(best)
        counts[index] += 1
        total = total + predictions[index]
        if losses[index] < best_loss:
            best_loss, best, since = losses[index], counts / step, 0
        else:
            since += 1
            if since >= PATIENCE:
                break
    path.append(best)
    by_size = {int(np.count_nonzero(weights)): weights for weights in path if weights.any()}
    if not by_size:
        # A loss that is defined for no member (one class alone) says nothing: the first one stands.
        by_size = {1: np.eye(len(predictions))[0]}
    found: list[dict[str, Any]] = []
    for size in range(min(by_size), max(by_size) + 1):
        # Later steps with as many members are better; without any the ones with fewer stand in.
        weights = by_size.get(size, by_size[min(by_size)] if not found else np.asarray(found[-1]["weights"]))
        found.append({"kind": "weighted_average", "weights": [float(value) for value in weights]})
    return found


def _fits(counts: Array, index: int, most: int, allowed: Callable[[Mask], bool]) -> bool:
    used = counts > 0
    if np.count_nonzero(used) >= most:
        return False
    used[index] = True
    return allowed(used)


def stack(predictions: list[Array], y: Array, w: Array, *, penalty: float, most: int) -> dict[str, Any]:
    """Fit the meta-learner: non-negative weights pulled towards equal ones, and an intercept.

    Regression: ridge with non-negative weights. Classes: multinomial logistic regression on log probabilities with
    one weight per member. Members of negligible weight, and the smallest beyond ``most``, are dropped and the rest is
    fitted again.
    """
    fit = _stack_numbers if predictions[0].ndim == 1 else _stack_classes
    if predictions[0].ndim > 1:
        step = -(-predictions[0].size // STACK_CELLS)
        predictions, y, w = [y_pred[::step] for y_pred in predictions], y[::step], w[::step]
    chosen = list(range(len(predictions)))
    weights, intercept = fit(predictions, y, w / w.sum(), penalty)
    order = np.argsort(-weights, kind="stable")
    kept = sorted(int(index) for index in order[:most] if weights[index] >= LEAST_WEIGHT) or [int(order[0])]
    if len(kept) < len(chosen):
        chosen = kept
        weights, intercept = fit([predictions[index] for index in chosen], y, w / w.sum(), penalty)
    full = np.zeros(len(predictions))
    full[chosen] = weights
    return {
        "kind": "stacking",
        "weights": [float(weight) for weight in full],
        "intercept": [float(value) for value in intercept] if np.ndim(intercept) else float(intercept),
    }


def _stack_numbers(predictions: list[Array], y: Array, w: Array, penalty: float) -> tuple[Array, Any]:
    columns = np.column_stack(predictions)
    centre, mean = w @ columns, float(w @ y)
    spread = np.sqrt(w @ (y - mean) ** 2) or 1.0
    root = np.sqrt(w)[:, None]
    equal = np.full(len(predictions), 1.0 / len(predictions))
    pull = np.sqrt(penalty) * np.eye(len(predictions))
    left = np.vstack([root * (columns - centre) / spread, pull])
    right = np.concatenate([root[:, 0] * (y - mean) / spread, pull @ equal])
    weights = np.asarray(nnls(left, right)[0])
    return weights, mean - float(centre @ weights)


def _stack_classes(predictions: list[Array], y: Array, w: Array, penalty: float) -> tuple[Array, Array]:
    logs = np.stack([np.log(np.clip(y_pred, FLOOR, 1.0)) for y_pred in predictions])
    members, rows, classes = logs.shape
    truth = np.zeros((rows, classes))
    truth[np.arange(rows), y.astype(np.intp)] = 1.0
    equal = np.full(members, 1.0 / members)

    def objective(parameters: Array) -> tuple[float, Array]:
        weights, intercept = parameters[:members], np.concatenate([[0.0], parameters[members:]])
        probability = softmax(np.tensordot(weights, logs, axes=1) + intercept)
        own = np.clip(probability[np.arange(rows), y.astype(np.intp)], 1e-300, 1.0)
        slope = w[:, None] * (probability - truth)
        away = weights - equal
        value = float(-(w @ np.log(own)) + penalty * away @ away + 1e-4 * intercept @ intercept)
        by_weight = np.einsum("mnk,nk->m", logs, slope) + 2 * penalty * away
        return value, np.concatenate([by_weight, slope.sum(axis=0)[1:] + 2e-4 * intercept[1:]])

    start = np.concatenate([equal, np.zeros(classes - 1)])
    bounds = [(0.0, None)] * members + [(None, None)] * (classes - 1)
    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60, "ftol": 1e-7}
    )
    return np.asarray(found.x[:members]), np.concatenate([[0.0], found.x[members:]])
