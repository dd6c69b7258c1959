from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest
import sklearn.metrics as sk

from pipelines import code_digest
from pipelines.metrics import METRICS, MetricName, metrics_of
from pipelines.metrics.labels import at_threshold
from pipelines.metrics.means import FLOOR, pinball
from pipelines.spec import Task

RNG = np.random.default_rng(0)
LABELS = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "f1": sk.f1_score,
    "macro_f1": lambda t, p, **given: sk.f1_score(t, p, average="macro", **given),
    "mcc": sk.matthews_corrcoef,
}
NUMBERS = {
    "mae": sk.mean_absolute_error,
    "mape": sk.mean_absolute_percentage_error,
    "r2": sk.r2_score,
    "rmse": sk.root_mean_squared_error,
}


def rows(classes: int, count: int = 300) -> tuple[Any, Any, Any]:
    truth = RNG.integers(0, classes, count).astype(float)
    y_pred = RNG.dirichlet(np.ones(classes), count)
    y_pred[np.arange(count), truth.astype(int)] += 0.3
    return truth, y_pred / y_pred.sum(axis=1, keepdims=True), RNG.uniform(0.5, 2.0, count)


def test_every_metric_that_a_spec_may_name_is_known() -> None:
    named = {name for task in get_args(Task) for name in metrics_of(task)}
    assert named == set(get_args(MetricName)) == set(METRICS)
    assert all(METRICS[name].sign > 0 for name in (*metrics_of("clustering"), *metrics_of("reduction")))
    assert all(metric.name == name and metric.measure for name, metric in METRICS.items())


@pytest.mark.parametrize("name", sorted(LABELS))
def test_metrics_of_labels_equal_scikit_learn(name: str) -> None:
    for classes in (2,) if name == "f1" else (2, 4):
        truth, y_pred, weight = rows(classes)
        expected = LABELS[name](truth, y_pred.argmax(axis=1), sample_weight=weight)
        assert METRICS[name].score(truth, y_pred, weight) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_metrics_of_numbers_equal_scikit_learn(name: str) -> None:
    truth, weight = RNG.normal(5, 2, 200), RNG.uniform(0.5, 2.0, 200)
    y_pred = truth + RNG.normal(size=200)
    assert METRICS[name].score(truth, y_pred, weight) == pytest.approx(
        NUMBERS[name](truth, y_pred, sample_weight=weight)
    )


def test_metrics_of_ranks_and_probabilities_equal_scikit_learn_with_ties_and_weights() -> None:
    truth = RNG.integers(0, 2, 500).astype(float)
    p = np.clip(np.round(RNG.random(500) * 0.7 + 0.3 * truth, 1), 0, 1)
    weight, y_pred = RNG.random(500), np.column_stack([1 - p, p])
    found = {name: METRICS[name].score(truth, y_pred, weight) for name in ("roc_auc", "pr_auc", "brier")}
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, p, sample_weight=weight), abs=1e-12)
    assert found["pr_auc"] == pytest.approx(sk.average_precision_score(truth, p, sample_weight=weight), abs=1e-12)
    assert found["brier"] == pytest.approx(sk.brier_score_loss(truth, p, sample_weight=weight), abs=1e-12)
    many, shares, heavy = rows(3)
    expected = np.average(((shares - np.eye(3)[many.astype(int)]) ** 2).sum(axis=1), weights=heavy)
    assert METRICS["brier"].score(many, shares, heavy) == pytest.approx(expected)
    assert pinball(np.array([1.0, 5.0]), np.array([2.0, 2.0]), np.ones(2), 0.9) == pytest.approx(
        sk.mean_pinball_loss([1.0, 5.0], [2.0, 2.0], alpha=0.9)
    )


def test_ranks_of_one_class_are_not_a_number() -> None:
    assert np.isnan(METRICS["roc_auc"].score(np.ones(4), np.full((4, 2), 0.5), np.ones(4)))
    assert np.isnan(METRICS["pr_auc"].score(np.zeros(4), np.full((4, 2), 0.5), np.ones(4)))
    assert np.isnan(METRICS["r2"].score(np.ones(4), np.zeros(4), np.ones(4)))
    assert np.isnan(METRICS["mape"].score(np.zeros(4), np.ones(4), np.ones(4)))


def test_log_loss_equals_scikit_learn_and_is_bounded() -> None:
    truth, y_pred, weight = rows(3)
    assert METRICS["log_loss"].score(truth, y_pred, weight) == pytest.approx(
        sk.log_loss(truth, y_pred, sample_weight=weight)
    )
    unknown = METRICS["log_loss"].score(np.array([-1.0]), np.array([[1.0, 0.0]]), np.ones(1))
    assert unknown == pytest.approx(-np.log(FLOOR))


def test_a_class_that_the_model_does_not_know_counts_as_wrong() -> None:
    truth, y_pred = np.array([0.0, 1.0, -1.0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    assert METRICS["accuracy"].score(truth, y_pred, np.ones(3)) == pytest.approx(2 / 3)
    assert METRICS["balanced_accuracy"].score(truth, y_pred, np.ones(3)) == pytest.approx(2 / 3)


def test_a_threshold_changes_labels_and_not_ranks() -> None:
    truth, y_pred, weight = rows(2)
    bent = at_threshold(y_pred, 0.3)
    np.testing.assert_array_equal(bent.argmax(axis=1), y_pred[:, 1] >= 0.3)
    assert METRICS["roc_auc"].score(truth, bent, weight) == pytest.approx(
        METRICS["roc_auc"].score(truth, y_pred, weight)
    )
    np.testing.assert_array_equal(at_threshold(y_pred, None), y_pred)
    sure = np.array([[0.0, 1.0], [0.01, 0.99]])
    assert at_threshold(sure, 1.0).argmax(axis=1).tolist() == [1, 0]


def test_an_error_is_what_a_perfect_model_has_none_of() -> None:
    assert METRICS["roc_auc"].error(-0.9) == pytest.approx(0.1)
    assert METRICS["rmse"].error(2.5) == 2.5
    for metric in METRICS.values():
        assert metric.error(-metric.sign * metric.optimum) == 0.0


def test_naming_the_metrics_imports_no_library() -> None:
    code = (
        "import sys, pipelines.metrics, pipelines.spec; print(sorted({'numpy', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loss_is_smaller_for_better() -> None:
    truth, good, bad = np.array([1.0, 2.0]), np.array([1.1, 2.0]), np.array([3.0, 0.0])
    for name in metrics_of("regression"):
        assert METRICS[name].loss(truth, good, np.ones(2)) < METRICS[name].loss(truth, bad, np.ones(2))
    labels, right = np.array([0.0, 1.0]), np.array([[0.9, 0.1], [0.2, 0.8]])
    for name in {*metrics_of("binary"), *metrics_of("multiclass")}:
        assert METRICS[name].loss(labels, right, np.ones(2)) < METRICS[name].loss(labels, right[::-1], np.ones(2))


def test_metrics_of_counts_and_sizes_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.poisson(2.0, 500).astype(float)
    y_pred, weight = rng.gamma(2.0, 1.0, 500), rng.random(500)
    expected = sk.mean_poisson_deviance(truth, y_pred, sample_weight=weight)
    assert METRICS["poisson_deviance"].score(truth, y_pred, weight) == pytest.approx(expected)
    expected = sk.root_mean_squared_log_error(truth, y_pred, sample_weight=weight)
    assert METRICS["rmsle"].score(truth, y_pred, weight) == pytest.approx(expected)
    assert np.isfinite(METRICS["poisson_deviance"].score(truth, -y_pred, weight))
    assert np.isfinite(METRICS["rmsle"].score(truth, -y_pred, weight))


def test_what_computes_a_metric_is_part_of_the_code_of_every_search() -> None:
    """It is named by its address: an edit of one must not re-use an old search."""
    source = code_digest._source("pipelines.metrics.registry")
    assert source is not None
    named = code_digest._imports(source.read_text())
    assert {f"pipelines.metrics.{module}" for module in ("ranks", "means", "labels", "unsupervised")} <= named
