"""Probabilities turned into the frequencies that rows of that probability have; plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.members.linear import softmax

Array = NDArray[np.float64]
FLOOR = 1e-7
CALIBRATIONS = ("temperature", "platt", "isotonic")


def ready(calibration: dict[str, Any]) -> dict[str, Any]:
    """Return a calibration read from JSON with its lists as arrays, which one row need not wait for."""
    curves = [{name: np.asarray(values) for name, values in curve.items()} for curve in calibration.get("curves", ())]
    return {**calibration, "curves": curves} if curves else calibration


def calibrated(calibration: dict[str, Any] | None, y_pred: Array) -> Array:
    """Return calibrated probabilities (n, classes); without a calibration ``y_pred`` itself.

    Parameters
    ----------
    calibration
        ``temperature``: softmax of log probability × ``scale`` (Guo et al., 2017, with scale = 1 / temperature).
        ``platt``: softmax of log probability × ``scale`` + ``shift`` of the class (Platt, 1999; for more than two
        classes the vector scaling of Guo et al. with one scale). ``isotonic``: for each class a step-wise linear curve
        through (``x``, ``y``) (Zadrozny and Elkan, 2002), one curve for two classes; shares of the sum for more.
    """
    if calibration is None:
        return y_pred
    if calibration["kind"] == "isotonic":
        return _isotonic(calibration["curves"], y_pred)
    scores = calibration["scale"] * np.log(np.clip(y_pred, FLOOR, 1.0))
    if calibration["kind"] == "platt":
        scores = scores + np.asarray(calibration["shift"])
    return softmax(scores)


def _isotonic(curves: list[dict[str, Any]], y_pred: Array) -> Array:
    if len(curves) == 1:
        upper = np.clip(np.interp(y_pred[:, 1], curves[0]["x"], curves[0]["y"]), 0.0, 1.0)
        return np.column_stack([1.0 - upper, upper])
    columns = [np.interp(y_pred[:, index], curve["x"], curve["y"]) for index, curve in enumerate(curves)]
    # No class at all would be nothing to divide by: the uncalibrated prediction keeps a trace of weight.
    mixed = np.column_stack(columns) + FLOOR * y_pred
    return np.asarray(mixed / mixed.sum(axis=1, keepdims=True))
