from __future__ import annotations

import numpy as np
import pytest

from pipelines.metrics import METRICS
from pipelines.metrics.expected import calibration_excess, drawn_labels, expected_score


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "brier", "accuracy", "f1", "mcc"])
def test_of_calibrated_probabilities_the_expected_score_is_the_real_one_within_its_error(metric: str) -> None:
    random = np.random.default_rng(3)
    misses = 0
    for trial in range(20):
        p = random.beta(2, 3, size=1_500)
        y_pred = np.column_stack([1 - p, p])
        real = METRICS[metric].score(drawn_labels(y_pred, random), y_pred, np.ones(len(p)))
        expected, error = expected_score(metric, y_pred, y_pred, seed=trial)
        misses += abs(real - expected) > 2.5 * error
    assert misses <= 2


def test_labels_are_drawn_by_their_probabilities() -> None:
    y_pred = np.tile([0.2, 0.5, 0.3], (20_000, 1))
    shares = np.bincount(drawn_labels(y_pred, np.random.default_rng(0)).astype(int), minlength=3) / 20_000
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.015)


def test_one_sided_probabilities_have_no_area() -> None:
    y_pred = np.tile([1.0, 0.0], (50, 1))
    assert not np.isfinite(expected_score("roc_auc", y_pred, y_pred)[0])


def test_calibration_is_judged_beyond_chance() -> None:
    random = np.random.default_rng(1)
    p = random.uniform(size=1_000)
    seen, chance, spread = calibration_excess((random.random(1_000) < p).astype(float), p)
    assert abs(seen - chance) < 4 * spread
    seen, chance, spread = calibration_excess((random.random(1_000) < p**2).astype(float), p)
    assert seen > chance + 4 * spread
