from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from pipelines.evaluation.comparison.compare import Comparison, compare
from pipelines.evaluation.comparison.delong import delong
from pipelines.metrics import METRICS

Array = NDArray[np.float64]


def two(score: Array) -> Array:
    p = 1.0 / (1.0 + np.exp(-score))
    return np.column_stack([1.0 - p, p])


def versus(metric: str, truth: Array, new: Array, old: Array, test: str = "auto", **given: float) -> Comparison:
    found = compare(
        metric,
        truth,
        new,
        {"old": old},
        confidence=0.95,
        resamples=400,
        seed=0,
        test=test,
        **given,  # type: ignore[arg-type]
    )["old"]
    assert found is not None
    return found


def world(seed: int, rows: int = 400) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, rows).astype(float)
    new, old = (truth + rng.normal(scale=scale, size=rows) for scale in (1.0, 1.2))
    return truth, new, old


def test_delong_equals_its_definition() -> None:
    """The structural components, pair by pair."""
    truth, new, old = world(0, 60)
    scores = np.round(np.array([new, old]), 1)  # with ties
    areas, covariance = delong(truth, scores)
    up, down = scores[:, truth == 1], scores[:, truth == 0]
    wins = (up[:, :, None] > down[:, None, :]) + 0.5 * (up[:, :, None] == down[:, None, :])
    expected = np.cov(wins.mean(axis=2)) / up.shape[1] + np.cov(wins.mean(axis=1)) / down.shape[1]
    np.testing.assert_allclose(areas, wins.mean(axis=(1, 2)))
    np.testing.assert_allclose(covariance, expected)
    assert areas[0] == pytest.approx(METRICS["roc_auc"].score(truth, two(scores[0]), np.ones(60)))


def test_delong_and_the_bootstrap_agree() -> None:
    truth, new, old = world(1, 1500)
    fast, slow = (versus("roc_auc", truth, two(new), two(old), test) for test in ("delong", "bootstrap"))
    assert (fast.how, slow.how) == ("delong", "bootstrap")
    assert fast.improvement == pytest.approx(slow.improvement)
    assert fast.error == pytest.approx(slow.error, rel=0.15)
    assert fast.lower == pytest.approx(slow.lower, abs=0.25 * fast.error)


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
def test_bounds_cover_the_true_difference(metric: str) -> None:
    areas = norm.cdf(1.0 / (np.array([1.0, 1.2]) * np.sqrt(2.0)))
    true = {"roc_auc": areas[0] - areas[1], "rmse": 0.2}[metric]
    covered = 0
    for seed in range(60):
        truth, new, old = world(seed, 300)
        sides = (new, old) if metric == "rmse" else (two(new), two(old))
        covered += versus(metric, truth, *sides).lower <= true
    assert covered >= 51  # 95 % of 60 is 57


def test_the_detectable_difference_is_found_four_times_in_five() -> None:
    """Worlds in which the candidate is better by just the difference that 500 rows can show."""
    rng, rows, found = np.random.default_rng(0), 500, 0
    gain = 2.486 * np.sqrt(2.0 * (1.0 - 2.0 / np.pi) / rows)  # of two mean absolute normal errors
    reported = []
    for _ in range(100):
        new, old = np.abs(rng.normal(size=(2, rows)))
        seen = versus("mae", np.zeros(rows), new, old + gain)
        found += seen.lower > 0
        reported.append(seen.detectable)
    assert 70 <= found <= 90
    assert np.mean(reported) == pytest.approx(gain, rel=0.05)


def test_one_class_bounds_nothing() -> None:
    y_pred = two(np.arange(5.0))
    found = compare("roc_auc", np.ones(5), y_pred, {"old": y_pred}, confidence=0.95, resamples=100, seed=0)
    assert found == {"old": None}
    assert compare("roc_auc", np.empty(0), y_pred[:0], {"old": y_pred[:0]}, confidence=0.9, resamples=100, seed=0) == {
        "old": None
    }


def test_equal_models_differ_by_nothing() -> None:
    truth, new, _ = world(3)
    seen = versus("roc_auc", truth, two(new), two(new))
    assert (seen.improvement, seen.lower, seen.detectable) == (0.0, 0.0, 0.0)
