from __future__ import annotations

import numpy as np
import pytest

from pipelines.algorithms import metrics
from pipelines.evaluation.bootstrap import _Scorer, paired_improvements


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "accuracy", "rmse", "mae"])
def test_scores_under_weights_equal_the_metric(metric: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200).astype(float)
    p = np.round(rng.random(200), 1)
    answer = np.column_stack([1 - p, p]) if metric in ("roc_auc", "log_loss", "accuracy") else p
    weights = rng.integers(0, 4, (5, 200)).astype(float)
    expected = [metrics.score(metric, truth, answer, weight) for weight in weights]
    np.testing.assert_allclose(_Scorer(metric, truth, answer).score(weights), expected, rtol=1e-12)


def test_bound_covers_the_true_difference() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        truth = rng.normal(size=300)
        new, old = truth + rng.normal(scale=1.0, size=300), truth + rng.normal(scale=1.05, size=300)
        found = paired_improvements("rmse", truth, new, old, np.ones(300), resamples=400, seed=0)
        covered += float(np.quantile(found, 0.05)) <= 0.05
    assert covered >= 51  # 95 % expected


def test_same_seed_same_resamples_and_undefined_ones_are_left_out() -> None:
    truth = np.array([0.0, 0.0, 0.0, 1.0])
    answer = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    first = paired_improvements("roc_auc", truth, answer, answer[::-1], np.ones(4), resamples=300, seed=4)
    again = paired_improvements("roc_auc", truth, answer, answer[::-1], np.ones(4), resamples=300, seed=4)
    np.testing.assert_array_equal(first, again)
    assert 0 < len(first) < 300
