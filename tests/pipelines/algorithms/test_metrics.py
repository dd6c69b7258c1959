from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from pipelines.algorithms import metrics


def test_auc_equals_scikit_learn_with_ties_and_weights() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 500).astype(float)
    score = np.round(rng.random(500) + 0.3 * truth, 1)
    weight = rng.random(500)
    ours = metrics.roc_auc(truth, np.column_stack([1 - score, score]), weight)
    assert ours == pytest.approx(roc_auc_score(truth, score, sample_weight=weight), abs=1e-12)


def test_auc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(metrics.roc_auc(np.ones(4), np.full((4, 2), 0.5), np.ones(4)))


def test_log_loss_equals_scikit_learn_and_is_bounded() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 200).astype(float)
    answer = rng.dirichlet([1, 1, 1], 200)
    weight = rng.random(200)
    assert metrics.log_loss(truth, answer, weight) == pytest.approx(log_loss(truth, answer, sample_weight=weight))
    unknown = metrics.log_loss(np.array([-1.0]), np.array([[1.0, 0.0]]), np.ones(1))
    assert unknown == pytest.approx(-np.log(metrics.FLOOR))


def test_loss_is_smaller_for_better() -> None:
    truth, good, bad = np.array([1.0, 2.0]), np.array([1.1, 2.0]), np.array([3.0, 0.0])
    for name in ("rmse", "mae"):
        assert metrics.loss(name, truth, good, np.ones(2)) < metrics.loss(name, truth, bad, np.ones(2))
    labels, right = np.array([0.0, 1.0]), np.array([[0.9, 0.1], [0.2, 0.8]])
    for name in ("roc_auc", "accuracy", "log_loss"):
        assert metrics.loss(name, labels, right, np.ones(2)) < metrics.loss(name, labels, right[::-1], np.ones(2))
