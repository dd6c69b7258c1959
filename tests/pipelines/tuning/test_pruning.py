from __future__ import annotations

import math

import pytest

from pipelines.tuning.pruning import bars, estimate, given_up, margin
from pipelines.tuning.trials import TrialResult


def known(*losses: float, folds: int = 5) -> list[TrialResult]:
    return [TrialResult("done", loss=loss, fold_losses=(loss,) * folds) for loss in losses]


def test_halving_lets_the_best_third_of_a_rung_go_on() -> None:
    results = known(*(1.0 + step / 1000 for step in range(9)))
    after = bars("asha", "rmse", results, 5)
    ease = 0.1 * margin("rmse", 1.0)
    assert after[0] == after[1] == after[3] == pytest.approx(1.002 + ease)
    assert after[2] == pytest.approx(1.06), "three folds are no rung: only what is hopeless ends there"
    assert given_up([1.05], after)
    assert not given_up([1.002], after)


def test_median_and_none() -> None:
    results = known(*(1.0 + step / 1000 for step in range(9)))
    assert bars("median", "rmse", results, 3) == pytest.approx((1.01, 1.01))
    assert bars("none", "rmse", results, 3) == ()
    assert not given_up([99.0], ())


def test_only_what_is_hopeless_ends_before_there_is_anything_to_compare() -> None:
    assert bars("asha", "roc_auc", [], 3) == (math.inf, math.inf)
    assert bars("asha", "roc_auc", known(-0.9), 3) == pytest.approx((-0.895, -0.895))
    odd = [*known(-0.9, -0.8, -0.7), TrialResult("failed"), TrialResult("pruned", loss=-0.6, fold_losses=(math.nan,))]
    assert bars("asha", "roc_auc", odd, 2)[0] == pytest.approx(-0.9 + 0.0005)


def test_what_a_trial_would_have_come_to() -> None:
    together = math.sqrt((1.0 + 1.0 + 16.0) / 3)  # a root of a mean of squares is not the mean of the roots
    assert estimate([1.2, 1.0], (1.0, 1.0, 4.0), together) == pytest.approx(together + 0.1)
    assert estimate([1.2, 1.0], (), 0.0) == pytest.approx(1.1)
