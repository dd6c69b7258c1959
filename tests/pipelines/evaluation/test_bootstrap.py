from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.comparison.bootstrap import resampled_scores
from pipelines.metrics import METRICS, metrics_of

NUMBERS = metrics_of("regression")
WITH_TARGET = {*metrics_of("binary"), *metrics_of("multiclass"), *NUMBERS}


@pytest.mark.parametrize("metric", sorted(WITH_TARGET))
def test_scores_under_weights_equal_the_metric(metric: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200).astype(float)
    p = np.round(rng.random(200), 1)
    y_pred = p if metric in NUMBERS else np.column_stack([1 - p, p])
    weights = rng.integers(0, 4, (5, 200)).astype(float)
    expected = [METRICS[metric].score(truth, y_pred, weight) for weight in weights]
    np.testing.assert_allclose(METRICS[metric].resampled(truth, y_pred).score(weights), expected, rtol=1e-9)


@pytest.mark.parametrize("metric", metrics_of("multiclass"))
def test_of_several_classes_too(metric: str) -> None:
    rng = np.random.default_rng(1)
    truth, y_pred = rng.integers(-1, 4, 150).astype(float), rng.dirichlet(np.ones(4), 150)
    weights = rng.integers(0, 4, (3, 150)).astype(float)
    expected = [METRICS[metric].score(truth, y_pred, weight) for weight in weights]
    np.testing.assert_allclose(METRICS[metric].resampled(truth, y_pred).score(weights), expected, rtol=1e-9)


def test_the_same_rows_are_drawn_for_all_models_and_again() -> None:
    truth = np.array([0.0, 0.0, 0.0, 1.0])
    y_pred = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    found = resampled_scores("roc_auc", truth, {"a": y_pred, "b": y_pred}, resamples=300, seed=4)
    np.testing.assert_array_equal(found["a"], found["b"])
    again = resampled_scores("roc_auc", truth, {"a": y_pred}, resamples=300, seed=4)
    np.testing.assert_array_equal(found["a"], again["a"])
    assert 0 < np.isfinite(found["a"]).sum() < 300  # resamples of one class have no area
