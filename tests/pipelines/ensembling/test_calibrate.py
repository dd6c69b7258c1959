from __future__ import annotations

import numpy as np
import pytest

from pipelines.algorithms.base import Array
from pipelines.ensembling.combination.calibrate import calibrate
from pipelines.inference.ensemble.calibration import calibrated
from pipelines.inference.members.linear import softmax
from pipelines.metrics import METRICS

FOLD = (np.arange(4_000) % 4).astype(np.int8)
W = np.ones(4_000)


def too_sure(classes: int = 2, times: float = 3.0) -> tuple[Array, Array, Array]:
    """Honest probabilities, labels drawn from them, and the probabilities made too sure."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4_000, classes))
    honest = softmax(scores)
    y = (honest.cumsum(axis=1) < rng.random((4_000, 1))).sum(axis=1).astype(np.float64)
    return honest, y, softmax(times * scores)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_too_sure_probabilities_are_corrected(kind: str, classes: int) -> None:
    honest, y, sure = too_sure(classes)
    found = calibrate(sure, y, W, FOLD, "log_loss", kind)
    ideal, bad = METRICS["log_loss"].score(y, honest, W), METRICS["log_loss"].score(y, sure, W)
    assert METRICS["log_loss"].score(y, found.oof, W) < ideal + 0.15 * (bad - ideal)
    again = calibrated(found.applied, sure)
    np.testing.assert_allclose(again.sum(axis=1), 1.0)
    assert METRICS["log_loss"].score(y, again, W) < ideal + 0.15 * (bad - ideal)
    if kind == "temperature" and found.applied:
        assert found.applied["scale"] == pytest.approx(1 / 3, abs=0.03)


def test_what_is_calibrated_is_left_alone_and_the_simplest_correction_is_taken() -> None:
    honest, y, sure = too_sure()
    assert calibrate(honest, y, W, FOLD, "log_loss", "auto").applied is None
    assert calibrate(sure, y, W, FOLD, "roc_auc", "auto").kind == "temperature"
    assert calibrate(sure, y, W, FOLD, "roc_auc", "none").applied is None


def test_numbers_have_no_calibration() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=4_000)
    assert calibrate(y, y, W, FOLD, "rmse", "auto").applied is None


def test_extreme_probabilities_stay_finite() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    for calibration in (
        {"kind": "temperature", "scale": 20.0},
        {"kind": "platt", "scale": 0.05, "shift": [0.0, 40.0]},
        {"kind": "isotonic", "curves": [{"x": [0.2, 0.8], "y": [0.0, 1.0]}]},
        {"kind": "isotonic", "curves": [{"x": [0.2, 0.8], "y": [0.0, 0.0]}] * 2},
    ):
        y_pred = calibrated(calibration, sure)
        assert np.isfinite(y_pred).all()
        np.testing.assert_allclose(y_pred.sum(axis=1), 1.0)
