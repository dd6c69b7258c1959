from __future__ import annotations

import time

import pytest

from pipelines.errors import SpecError
from pipelines.tuning.budget import ENSEMBLE_SECONDS, STOP_SECONDS, Budget
from pipelines.tuning.trials import Proposal, TrialResult

LATER = Proposal(5, "lightgbm", {}, first=False)
FIRST = Proposal(0, "lightgbm", {}, first=True)


def budget(seconds: float | None = 60.0, trials: int | None = None, spent: float = 0.0) -> Budget:
    return Budget(seconds, trials, cores=2, members=2, folds=5, started=time.time() - spent)


def test_trials_win_and_nothing_is_limited_by_the_clock() -> None:
    counted = budget(60.0, 8, spent=1e6)
    assert counted.affords(LATER.family)
    assert counted.limits(LATER) == (None, None)
    assert counted.remaining() is None


def test_reserve_grows_with_what_refits_will_cost() -> None:
    timed = budget()
    for loss, seconds in ((0.3, 4.0), (0.1, 8.0), (0.2, 2.0)):
        timed.note(LATER, TrialResult("done", loss=loss, fit_seconds=seconds, seconds=5 * seconds))
    # The two best took 8 and 2 seconds a fold; a refit sees 5/4 of the rows; the slower one alone takes 10.
    assert timed.refit_seconds() == pytest.approx(10.0 * 1.15)
    assert timed.reserve() == pytest.approx(ENSEMBLE_SECONDS + STOP_SECONDS + 11.5)


def test_a_trial_that_would_not_end_in_time_is_not_started() -> None:
    timed = budget(60.0, spent=40.0)
    timed.note(FIRST, TrialResult("done", loss=0.1, fit_seconds=1.0, seconds=5.0))
    assert timed.affords(LATER.family)
    timed.note(LATER, TrialResult("done", loss=0.1, fit_seconds=1.0, seconds=50.0))
    assert not timed.affords(LATER.family)


def test_a_family_s_first_trial_always_runs_with_a_soft_limit() -> None:
    late = budget(60.0, spent=59.0)
    soft, hard = late.limits(FIRST)
    assert soft == 2.0
    assert hard is None
    early = budget(60.0).limits(FIRST)[0]
    assert early is not None
    assert 20.0 < early < 35.0


def test_a_family_s_first_trial_begins_while_there_is_time_or_nothing_to_show() -> None:
    late = budget(20.0, spent=19.0)
    assert late.affords("linear", fresh=True), "a late model is better than none"
    late.note(FIRST, TrialResult("cut", seconds=3.0))
    assert late.affords("linear", fresh=True)
    late.note(FIRST, TrialResult("done", loss=0.1, seconds=1.0))
    assert not late.affords("linear", fresh=True)
    early = budget(60.0)
    early.note(FIRST, TrialResult("done", loss=0.1, seconds=50.0))
    assert early.affords("linear", fresh=True), "another family may be quicker"


def test_what_comes_after_the_search_takes_longer_with_many_columns_and_shorter_without_ray() -> None:
    few, many = budget(20.0), budget(20.0)
    many.columns = 2_000
    assert many.left() == pytest.approx(few.left() - 3.0, abs=0.1)
    many.pooled = True
    assert many.left() == pytest.approx(few.left() - 1.0, abs=0.1)


def test_many_first_trials_share_the_time() -> None:
    alone = budget(60.0).limits(FIRST, firsts_left=0)[0]
    among = budget(60.0).limits(FIRST, firsts_left=11)[0]
    assert alone is not None
    assert among is not None
    assert among < alone / 2
    assert among * 12 < 60.0 * 2 * 2


def test_a_budget_too_small_for_anything_says_the_smallest_that_works() -> None:
    late = budget(10.0, spent=7.0)
    with pytest.raises(SpecError, match="too small for one trial of anything") as caught:
        late.check_start()
    smallest = late.smallest()
    assert f"budget_seconds={smallest:.0f}" in str(caught.value)
    budget(smallest, spent=7.0).check_start()
    late.started -= 60.0
    assert late.smallest() == smallest, "what the search took is no start"
    budget(None, 1, spent=1e6).check_start()
