from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score

from pipelines.evaluation.predictions import ModelPredictions, aligned, baseline_predictions, lost, truth_of, united
from pipelines.evaluation.report.reference_distribution import numbers, predictions
from pipelines.evaluation.scores import all_scores, calibration_error


def test_binary_scores_of_a_perfect_and_of_a_constant_prediction() -> None:
    truth = np.array([0.0, 1.0, 1.0, 0.0])
    perfect = all_scores("binary", truth, np.column_stack([1 - truth, truth]), np.ones(4))
    assert {perfect[name] for name in ("roc_auc", "pr_auc", "accuracy", "f1", "mcc", "balanced_accuracy")} == {1.0}
    assert perfect["brier"] == perfect["calibration_error"] == 0.0
    flat = all_scores("binary", truth, np.full((4, 2), 0.5), np.ones(4))
    assert (flat["roc_auc"], flat["brier"]) == (0.5, 0.25)


def test_one_class_has_no_auc_and_says_none() -> None:
    found = all_scores("binary", np.ones(3), np.full((3, 2), 0.5), np.ones(3))
    assert found["roc_auc"] is None
    assert found["pr_auc"] == 1.0
    assert all_scores("binary", np.zeros(3), np.full((3, 2), 0.5), np.ones(3))["pr_auc"] is None
    assert found["log_loss"] == pytest.approx(np.log(2))


def test_regression_scores() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(10, 2, 100)
    y_pred = truth + rng.normal(size=100)
    found = all_scores("regression", truth, y_pred, np.ones(100))
    assert found["r2"] == pytest.approx(r2_score(truth, y_pred))
    assert all_scores("regression", np.zeros(3), np.ones(3), np.ones(3))["mape"] is None


def test_multiclass_scores() -> None:
    y_pred = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3]])
    found = all_scores("multiclass", np.array([0.0, 1.0, 2.0]), y_pred, np.ones(3))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score([0, 1, 2], y_pred.argmax(axis=1)))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1.0 + 0.0) / 3)
    assert found["macro_pr_auc"] == pytest.approx((1.0 + 1.0 + 1.0) / 3)


def test_calibration_error_of_overconfidence() -> None:
    hit = np.array([1.0, 0.0] * 50)
    assert calibration_error(hit, np.full(100, 0.95), np.ones(100)) == pytest.approx(0.45)


def test_classes_of_another_version_are_put_in_order() -> None:
    y_pred = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_array_equal(aligned(y_pred, ["b", "c", "a"], ["a", "b", "new"]), [[0.5, 0.2, 0.0]])


def test_classes_that_any_model_knows_are_judged_in_a_stable_order() -> None:
    even = np.ones((2, 2)) / 2
    own, live, best = (ModelPredictions(even, None, labels) for labels in (("b", "d"), ("a", "b"), ("z", "d")))
    assert united("multiclass", [own, live, best]) == ["b", "d", "a", "z"]
    assert united("binary", [own, live, best]) == ["b", "d"]
    assert united("regression", [ModelPredictions(even[:, 0])]) == []
    np.testing.assert_array_equal(own.among(["b", "d", "a"]).values, [[0.5, 0.5, 0.0]] * 2)
    assert lost(pd.Series(["a", "b", "?", "a"]), ["b", "d"], ["b", "d", "a", "z"]) == ["a (2 rows)"]


def test_a_class_without_rows_and_predictions_is_in_no_mean() -> None:
    truth, y_pred = np.array([0.0, 1.0]), np.array([[0.8, 0.2], [0.1, 0.9]])
    wide = np.column_stack([y_pred, np.zeros(2)])
    found = all_scores("multiclass", truth, wide, np.ones(2))
    assert found["macro_precision"] == found["macro_recall"] == found["macro_f1"] == 1.0


def test_baselines() -> None:
    y, w = np.array([0.0, 1.0, 1.0]), np.array([2.0, 1.0, 1.0])
    np.testing.assert_allclose(baseline_predictions(y, w, 2, 2, "roc_auc"), [[0.5, 0.5], [0.5, 0.5]])
    assert baseline_predictions(np.array([1.0, 2.0, 9.0]), np.ones(3), 1, 0, "rmse")[0] == 4.0
    assert baseline_predictions(np.array([1.0, 2.0, 9.0]), np.ones(3), 1, 0, "mae")[0] == 2.0


def test_truth_of_labels() -> None:
    assert truth_of(pd.Series(["b", "a", "?"]), ["a", "b"]).tolist() == [1.0, 0.0, -1.0]


def test_reference_bins_hold_equal_shares_and_leave_the_missing_out() -> None:
    values = np.r_[np.arange(900.0), np.full(100, np.nan)]
    found = numbers(values)
    assert len(found["edges"]) == 9
    assert len(found["shares"]) == 10
    np.testing.assert_allclose(found["shares"], 0.09, atol=0.001)
    flat = numbers(np.zeros(10))
    assert (flat["edges"], flat["shares"]) == ([0.0], [0.0, 1.0])
    assert numbers(np.full(3, np.nan))["shares"] == [0.0]
    assert predictions(np.array([[0.9, 0.1, 0.0]]), ["a", "b", "c"])["shares"] == [1.0, 0.0, 0.0]
