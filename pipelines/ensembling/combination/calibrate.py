"""Learns the calibration from out-of-fold predictions; judged on rows that it was not learned on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pipelines.algorithms.base import Array
from pipelines.inference.ensemble.calibration import FLOOR, calibrated
from pipelines.inference.members.linear import softmax
from pipelines.metrics import METRICS

SIMPLEST_FIRST = ("none", "temperature", "platt", "isotonic")
MOST_KNOTS = 200
"""Corners of an isotonic curve; more are thinned, which bounds a model directory."""
TIES = 1e-9
"""Loss of the metric that rounding may cost."""
LEAST_ROWS = 1_000
"""Rows of the rarest class, times ten, below which isotonic curves would follow noise."""


@dataclass(frozen=True)
class Calibration:
    """What to apply (None: nothing), honest calibrated predictions, and each kind's honest log loss."""

    applied: dict[str, Any] | None
    oof: Array
    losses: dict[str, float]

    @property
    def kind(self) -> str:
        """Name of what is applied."""
        return "none" if self.applied is None else str(self.applied["kind"])


def calibrate(y_pred: Array, y: Array, w: Array, fold: NDArray[np.int8], metric: str, wanted: str) -> Calibration:
    """Learn the calibration fold by fold, choose, and learn the chosen one on all rows.

    Parameters
    ----------
    y_pred
        Honest out-of-fold probabilities (n, classes), or numbers (n,), which are left alone.
    wanted
        ``EnsembleSpec.calibration``.
    """
    if y_pred.ndim == 1 or wanted == "none":
        return Calibration(None, y_pred, {})
    kinds: tuple[str, ...] = SIMPLEST_FIRST if wanted == "auto" else ("none", wanted)
    rare = np.bincount(y.astype(np.intp), minlength=y_pred.shape[1]).min()
    if wanted == "auto" and 10 * rare < LEAST_ROWS:
        kinds = SIMPLEST_FIRST[:3]
    folds = [int(value) for value in np.unique(fold)]
    honest = {kind: y_pred.copy() for kind in kinds}
    by_fold: dict[str, list[float]] = {kind: [] for kind in kinds}
    suffers: dict[str, list[float]] = {kind: [] for kind in kinds}
    for kind in kinds:
        for held in folds:
            inside = fold == held
            learn_on = ~inside if len(folds) > 1 else inside
            honest[kind][inside] = calibrated(learn(kind, y_pred[learn_on], y[learn_on], w[learn_on]), y_pred[inside])
            by_fold[kind].append(METRICS["log_loss"].score(y[inside], honest[kind][inside], w[inside]))
            before, after = (METRICS[metric].loss(y[inside], a[inside], w[inside]) for a in (y_pred, honest[kind]))
            suffers[kind].append(after - before)
    losses = {kind: METRICS["log_loss"].score(y, honest[kind], w) for kind in kinds}
    chosen = wanted
    if wanted == "auto":
        # Within a fold: predictions of several folds, each corrected its own way, would not be ranked fairly together.
        useful = [kind for kind in kinds if kind == "none" or np.mean(suffers[kind]) <= TIES]
        best = min(useful, key=lambda kind: losses[kind])
        chosen = next(kind for kind in useful if kind == best or _alike(by_fold[kind], by_fold[best]))
    return Calibration(learn(chosen, y_pred, y, w), honest[chosen], losses)


def learn(kind: str, y_pred: Array, y: Array, w: Array) -> dict[str, Any] | None:
    """Learn one kind of calibration (see ``calibrated``); None for ``none``."""
    if kind == "none":
        return None
    if kind == "isotonic":
        labels = (1,) if y_pred.shape[1] == 2 else range(y_pred.shape[1])
        return {"kind": kind, "curves": [_curve(y_pred[:, label], y == label, w) for label in labels]}
    logs = np.log(np.clip(y_pred, FLOOR, 1.0))
    rows, own = np.arange(len(y)), y.astype(np.intp)
    weight = w / w.sum()
    classes = y_pred.shape[1]
    truth = np.zeros_like(y_pred)
    truth[rows, own] = 1.0

    def objective(parameters: Array) -> tuple[float, Array]:
        shift = np.concatenate([[0.0], parameters[1:]]) if kind == "platt" else 0.0
        probability = softmax(parameters[0] * logs + shift)
        slope = weight[:, None] * (probability - truth)
        value = float(-(weight @ np.log(np.clip(probability[rows, own], 1e-300, 1.0))))
        by_scale = float((slope * logs).sum())
        return value, np.concatenate([[by_scale], slope.sum(axis=0)[1:]]) if kind == "platt" else np.array([by_scale])

    start = np.concatenate([[1.0], np.zeros(classes - 1)]) if kind == "platt" else np.ones(1)
    bounds = [(0.05, 20.0), *[(None, None)] * (len(start) - 1)]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    if kind == "temperature":
        return {"kind": kind, "scale": float(found[0])}
    return {"kind": kind, "scale": float(found[0]), "shift": [0.0, *(float(value) for value in found[1:])]}


def _curve(share: Array, own: NDArray[np.bool_], w: Array) -> dict[str, list[float]]:
    from sklearn.isotonic import IsotonicRegression  # a second of imports, which a regression does without

    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(share, own.astype(np.float64), w)
    x, y = model.X_thresholds_, model.y_thresholds_
    if len(x) > MOST_KNOTS:
        kept = np.unique(np.linspace(0, len(x) - 1, MOST_KNOTS).round().astype(np.intp))
        x, y = x[kept], y[kept]
    return {"x": [float(value) for value in x], "y": [float(value) for value in y]}


def _alike(losses: list[float], best: list[float]) -> bool:
    behind = np.subtract(losses, best)
    error = float(behind.std(ddof=1) / np.sqrt(len(behind))) if len(behind) > 1 else 0.0
    return float(behind.mean()) <= error
