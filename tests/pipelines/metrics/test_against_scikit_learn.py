"""Every metric of a model with a target, on weighted rows with ties, against scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.metrics import METRICS, metrics_of
from pipelines.metrics.ranks import roc_area, won_by_pair
from pipelines.splitting import single_column_auc

Score = Callable[..., float]
OF_PROBABILITIES: dict[str, Score] = {
    "roc_auc": lambda y, p, **w: sk.roc_auc_score(y, p[:, 1], **w),
    "pr_auc": lambda y, p, **w: sk.average_precision_score(y, p[:, 1], **w),
    "log_loss": lambda y, p, **w: sk.log_loss(y, p, labels=np.arange(p.shape[1]), **w),
    # scikit-learn halves Brier's sum over two classes, not that over several
    "brier": lambda y, p, **w: sk.brier_score_loss(
        y, p[:, 1] if p.shape[1] == 2 else p, labels=np.arange(p.shape[1]), **w
    ),
}
OF_LABELS: dict[str, Score] = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "f1": partial(sk.f1_score, zero_division=0.0),
    "macro_f1": partial(sk.f1_score, average="macro", zero_division=0.0),
    "mcc": sk.matthews_corrcoef,
}
OF_NUMBERS: dict[str, Score] = {
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "mape": sk.mean_absolute_percentage_error,
    "r2": sk.r2_score,
    "rmsle": sk.root_mean_squared_log_error,
    "poisson_deviance": sk.mean_poisson_deviance,
}
DRAWS = st.integers(0, 2**32 - 1)


def sample(seed: int, classes: int) -> tuple[Any, Any, Any]:
    """Draw rows of which every class has some; probabilities have few digits and so are often equal."""
    rng = np.random.default_rng(seed)
    count, digits = int(rng.integers(2 * classes, 60)), int(rng.integers(1, 4))
    y = rng.permutation(np.r_[np.arange(classes), rng.integers(0, classes, count - classes)]).astype(float)
    raw = np.round(rng.dirichlet(np.ones(classes), count), digits) + 10.0**-digits
    weight = rng.choice([0.0, 0.5, 1.0, 3.7], count) if rng.random() < 0.5 else rng.random(count)
    weight[[int(np.flatnonzero(y == one)[0]) for one in range(classes)]] = 1.3
    return y, raw / raw.sum(axis=1, keepdims=True), weight


def test_every_metric_with_a_target_is_compared() -> None:
    compared = {*OF_PROBABILITIES, *OF_LABELS, *OF_NUMBERS}
    assert compared == {*metrics_of("binary"), *metrics_of("multiclass"), *metrics_of("regression")}
    assert set(OF_LABELS) == {name for name, metric in METRICS.items() if metric.needs_labels}


@pytest.mark.parametrize("name", [*OF_PROBABILITIES, *OF_LABELS])
@settings(max_examples=60, deadline=None)
@given(seed=DRAWS, classes=st.integers(2, 5))
def test_of_classes(name: str, seed: int, classes: int) -> None:
    metric = METRICS[name]
    y, p, weight = sample(seed, classes if "multiclass" in metric.tasks else 2)
    if metric.needs_labels:
        expected = OF_LABELS[name](y, p.argmax(axis=1), sample_weight=weight)
    else:
        expected = OF_PROBABILITIES[name](y, p, sample_weight=weight)
    assert metric.score(y, p, weight) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", OF_NUMBERS)
@settings(max_examples=60, deadline=None)
@given(seed=DRAWS)
def test_of_numbers(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 60))
    y, prediction = (np.round(rng.gamma(2.0, 3.0, count), 1) + 0.1 for _ in range(2))
    y[0] += 5.0  # a spread
    weight = rng.random(count) + 0.01
    expected = OF_NUMBERS[name](y, prediction, sample_weight=weight)
    assert METRICS[name].score(y, prediction, weight) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=DRAWS)
def test_every_way_to_the_area_under_the_roc_curve_is_scikit_learns(seed: int) -> None:
    """Of rows, of many draws at once, of pairs of blocks, and of counts by level as the split's leak check has them."""
    y, p, _ = sample(seed, 2)
    rng = np.random.default_rng(seed)
    metric, block = METRICS["roc_auc"], rng.integers(0, 4, len(y))
    drawn = rng.integers(0, 3, (5, 4)).astype(float)
    whole, rows = metric.resampled(y, p), drawn[:, block]
    by_block = metric.resampled(y, p).by_block(block, 4)(drawn)
    np.testing.assert_array_equal(by_block, whole.score(rows))
    for weight, found in zip(rows, by_block, strict=True):
        if min(weight @ (y == 1), weight @ (y != 1)) > 0:
            assert found == pytest.approx(sk.roc_auc_score(y, p[:, 1], sample_weight=weight), abs=1e-12)
            assert found == metric.score(y, p, weight), "counts are exact: all ways have the same bits"
        else:
            assert np.isnan(found)
    won = won_by_pair(y, p[:, 1], np.zeros(len(y), np.intp), 1)[0, 0]
    assert won / ((y == 1).sum() * (y != 1).sum()) == pytest.approx(sk.roc_auc_score(y, p[:, 1]))
    levels, code = np.unique(p[:, 1], return_inverse=True)
    counts = [np.bincount(code[y == side], minlength=len(levels)).astype(float) for side in (1.0, 0.0)]
    assert roc_area(*counts) == metric.score(y, p, np.ones(len(y)))


def test_the_area_of_a_single_column_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    codes, fit = rng.integers(0, 7, 4_000), rng.random(4_000) < 0.5
    y = (rng.random(4_000) < 0.1 + 0.1 * codes).astype(np.int64)
    areas = []
    for learned in (fit, ~fit):
        counts = np.bincount(codes[learned], minlength=7)
        share = (np.bincount(codes[learned], y[learned], 7) + y[learned].mean()) / (counts + 1.0)
        areas.append(sk.roc_auc_score(y[~learned], share[codes[~learned]]))
    assert single_column_auc.auc(codes, y, 2, fit) == pytest.approx(min(areas), abs=1e-12)
