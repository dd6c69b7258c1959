from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipelines.evaluation.comparison.block_bootstrap import (
    LEAST_DAYS,
    day_indices,
    day_scores,
    days_of,
    draws,
    together,
)
from pipelines.evaluation.comparison.bootstrap import resampled_scores
from pipelines.evaluation.comparison.compare import Comparison, Test, bounded, compare
from pipelines.evaluation.comparison.delong import delong
from pipelines.evaluation.unsupervised import Terms
from pipelines.evaluation.unsupervised import compare as compare_terms
from pipelines.metrics import METRICS, metrics_of

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]
UNSUPERVISED = {*metrics_of("clustering"), *metrics_of("reduction")}
NUMBERS = metrics_of("regression")
Z, POWER = (NormalDist().inv_cdf(share) for share in (0.95, 0.8))


def two(score: Array) -> Array:
    p = 1.0 / (1.0 + np.exp(-score))
    return np.column_stack([1.0 - p, p])


def versus(
    metric: str, truth: Array, new: Array, old: Array, days: NDArray[np.intp] | None, test: Test = "auto", seed: int = 0
) -> Comparison:
    found = compare(metric, truth, new, {"old": old}, confidence=0.95, resamples=300, seed=seed, test=test, days=days)[
        "old"
    ]
    assert found is not None
    return found


@pytest.mark.parametrize("metric", sorted({*METRICS, "several classes"} - UNSUPERVISED))
def test_scores_of_drawn_days_equal_the_metric_of_their_rows(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pipelines.evaluation.comparison.block_bootstrap", "pipelines.metrics.ranks"):
        monkeypatch.setattr(f"{module}.CELLS", 700)  # several parts
    rng, rows = np.random.default_rng(0), 230
    truth, day_index = rng.integers(0, 2, rows).astype(float), rng.integers(0, 9, rows)
    y_pred = np.round(rng.random(rows), 1)
    if metric == "several classes":
        metric, truth, y_pred = "macro_f1", rng.integers(-1, 4, rows).astype(float), rng.dirichlet(np.ones(4), rows)
    elif metric not in NUMBERS:
        y_pred = np.column_stack([1 - y_pred, y_pred])
    found = day_scores(metric, truth, {"a": y_pred}, day_index, 9, resamples=20, seed=3)["a"]
    drawn = np.concatenate(list(draws(9, rows, 20, 3)))
    assert drawn.sum(axis=1).tolist() == [9.0] * 20
    expected = [METRICS[metric].score(truth, y_pred, weight[day_index]) for weight in drawn]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def world(metric: str, seed: int, days: int) -> tuple[Array, Array, Array, NDArray[np.intp]]:
    """Two models that are equally good, each with its good and its bad days."""
    rng, each = np.random.default_rng([seed, days]), 12
    day = np.repeat(np.arange(days), each)
    new, old = (rng.normal(size=days)[day] for _ in range(2))
    noise = rng.normal(size=(2, len(day)))
    if metric == "mae":
        return np.zeros(len(day)), 20.0 + new + noise[0], 20.0 + old + noise[1], day
    truth = rng.integers(0, 2, len(day)).astype(float)
    return truth, two(truth * (1.0 + new) + noise[0]), two(truth * (1.0 + old) + noise[1]), day


@pytest.mark.parametrize(("metric", "days"), [("mae", LEAST_DAYS), ("mae", 25), ("roc_auc", 12)])
def test_bounds_by_day_cover_where_those_by_row_do_not(metric: str, days: int) -> None:
    worlds, by_row, by_day = 200, 0, 0
    for seed in range(worlds):
        truth, new, old, day = world(metric, seed, days)
        by_row += versus(metric, truth, new, old, None, seed=seed).lower <= 0.0
        by_day += versus(metric, truth, new, old, day, seed=seed).lower <= 0.0
    assert by_row < 0.85 * worlds
    assert 0.92 * worlds <= by_day <= 0.985 * worlds


def test_the_difference_that_days_show_is_found_four_times_in_five() -> None:
    found, reported = 0, []
    gain = (1.711 + 0.857) * np.sqrt((2.0 + 2.0 / 12) / 25)  # Student's t of 24, and the variance of a day's mean
    for seed in range(100):
        truth, new, old, day = world("mae", seed, 25)
        seen = versus("mae", truth, new - gain, old, day, seed=seed)
        found += seen.lower > 0
        reported.append(seen.detectable)
        assert (seen.how, seen.days) == ("days", 25)
    assert np.mean(reported) == pytest.approx(gain, rel=0.05)
    assert 70 <= found <= 90


@pytest.mark.parametrize("few", [False, True])
def test_without_days_or_with_few_the_bounds_have_the_same_bits_as_ever(few: bool) -> None:
    truth, new, old, _ = world("roc_auc", 1, 10)
    days = np.arange(len(truth)) % (LEAST_DAYS - 1) if few else None
    areas, covariance = delong(truth, np.array([new[:, 1], old[:, 1]]))
    error = float(np.sqrt(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]))
    seen = versus("roc_auc", truth, new, old, days)
    gain = METRICS["roc_auc"].score(truth, new, np.ones(len(truth))) - METRICS["roc_auc"].score(
        truth, old, np.ones(len(truth))
    )
    assert (seen.improvement, seen.error, seen.how, seen.days) == (gain, error, "delong", None)
    assert (seen.lower, seen.upper) == (gain - Z * error, gain + Z * error)
    assert gain == pytest.approx(areas[0] - areas[1])
    for metric in ("log_loss", "accuracy", "pr_auc"):
        sign = METRICS[metric].sign
        drawn = resampled_scores(metric, truth, {"": new, "old": old}, resamples=300, seed=0)
        scores = (METRICS[metric].score(truth, y_pred, np.ones(len(truth))) for y_pred in (new, old))
        gain = sign * np.subtract(*scores)
        expected = bounded(gain, sign * (drawn[""] - drawn["old"]), 0.95, Z + POWER)
        assert versus(metric, truth, new, old, days) == expected


def test_who_asks_for_delong_gets_it() -> None:
    truth, new, old, day = world("roc_auc", 1, 10)
    assert versus("roc_auc", truth, new, old, day, "delong") == versus("roc_auc", truth, new, old, None)
    assert versus("roc_auc", truth, new, old, day, "bootstrap").how == "days"


def test_equal_models_differ_by_nothing_on_any_day() -> None:
    truth, new, _, day = world("roc_auc", 1, 10)
    seen = versus("roc_auc", truth, new, new, day)
    assert (seen.improvement, seen.lower, seen.error) == (0.0, 0.0, 0.0)


def test_models_without_target_are_compared_by_day_too() -> None:
    rng, day = np.random.default_rng(2), np.repeat(np.arange(20), 30)
    ones = np.ones(len(day))
    new, old = (np.column_stack([10.0 + rng.normal(size=20)[day], ones]) for _ in range(2))
    judged = {"model": Terms(new, {}), "champion": Terms(old, {})}
    by_row, by_day = (
        compare_terms(judged, confidence=0.95, resamples=400, seed=0, days=days)["champion"] for days in (None, day)
    )
    assert by_row is not None
    assert by_day is not None
    assert by_day.improvement == by_row.improvement == pytest.approx((new - old)[:, 0].mean())
    assert by_day.error > 4.0 * by_row.error
    assert (by_row.how, by_day.how, by_day.days) == ("bootstrap", "days", 20)


def test_days_of_rows() -> None:
    times = pd.Series(pd.to_datetime(["2026-01-01 23:59", "2026-01-02 00:00", "2026-01-02 12:00"], utc=True))
    assert np.diff(days_of(pd.DataFrame({"_time": times}))).tolist() == [1, 0]  # type: ignore[arg-type]
    assert days_of(pd.DataFrame({"_time": times.dt.tz_localize(None)})) is not None
    assert days_of(pd.DataFrame({"_time": [pd.NaT, times[0]]})) is None
    assert days_of(pd.DataFrame({"x": [1.0]})) is None
    assert day_indices(None)[1] == day_indices(np.arange(LEAST_DAYS - 1))[1] == 0
    day_index, count = day_indices(np.arange(20, 20 + 2 * LEAST_DAYS, 2))
    assert (day_index.tolist(), count) == (list(range(LEAST_DAYS)), LEAST_DAYS)


def test_what_rows_share_is_their_day_or_else_their_entity() -> None:
    moments = pd.to_datetime(["2026-01-01T03", "2026-01-01T04", "2026-01-02T03"], utc=True)
    rows = pd.DataFrame({"_time": moments, "_group": ["a", None, "a"]})
    days, unit = together(rows)
    assert unit == "days"
    assert np.unique(np.asarray(days), return_inverse=True)[1].tolist() == [0, 0, 1]
    groups, unit = together(pd.DataFrame({"_time": pd.NaT, "_group": ["a", None, "b", "a", None]}))
    assert (unit, np.asarray(groups).tolist()) == ("groups", [0, 2, 1, 0, 3])
    assert together(rows.drop(columns="_group").assign(_time=pd.NaT)) == (None, "days")


def test_very_many_entities_are_ranked_anew_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth, day_index, y_pred = (
        rng.integers(0, 2, 300).astype(float),
        rng.integers(0, 40, 300),
        two(rng.normal(size=300)),
    )
    found = []
    for most in (1, 2_000):
        monkeypatch.setattr("pipelines.metrics.ranks.MOST_PAIRED", most)
        found.append(day_scores("roc_auc", truth, {"a": y_pred}, day_index, 40, resamples=30, seed=1)["a"])
    np.testing.assert_allclose(*found, rtol=1e-12)
