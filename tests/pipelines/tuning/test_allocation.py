from __future__ import annotations

from collections import Counter

from pipelines.tuning.allocation import Allocation
from pipelines.tuning.trials import TrialResult

EVERY = ("slow", "good", "bad", "broken")


def taught(timed: bool = False) -> Allocation:
    allocation = Allocation(EVERY, "roc_auc", 0, timed=timed)
    for step in range(2):
        for name, loss, seconds in (("slow", -0.9, 60.0), ("good", -0.9, 2.0), ("bad", -0.8, 1.0)):
            better = 0.001 * step
            allocation.note(name, TrialResult("done", loss=loss - better, fold_losses=(loss,) * 5, seconds=seconds))
        allocation.note("broken", TrialResult("failed", error="planted", seconds=0.1))
    return allocation


def test_losers_are_dropped_with_the_reason() -> None:
    allocation = taught()
    assert allocation.dropped == {
        "bad": "0.1 behind the best after 2 trials",
        "broken": "none of its 2 trials ended well",
    }
    assert {allocation.choose(number, EVERY) for number in range(50)} == {"slow", "good"}
    assert allocation.choose(0, ("bad", "broken")) is None


def test_seconds_go_where_they_pay_and_trials_do_not_see_the_clock() -> None:
    timed = Counter(taught(timed=True).choose(number, EVERY) for number in range(200))
    counted = Counter(taught().choose(number, EVERY) for number in range(200))
    assert timed["good"] > 10 * timed["slow"]
    assert 60 < counted["slow"] < 140


def test_the_only_one_is_never_dropped() -> None:
    allocation = Allocation(("alone",), "rmse", 0, timed=False)
    for _ in range(3):
        allocation.note("alone", TrialResult("failed"))
    assert allocation.choose(3, ("alone",)) == "alone"


def test_what_has_never_ended_well_is_not_asked_again_and_again_before_that_is_known() -> None:
    allocation = Allocation(("good", "broken"), "roc_auc", 0, timed=False)
    allocation.asked("good")
    allocation.note("good", TrialResult("done", loss=-0.9, fold_losses=(-0.9,) * 5))
    for _ in range(2):
        allocation.asked("broken")  # and no result yet
    assert {allocation.choose(number, ("good", "broken")) for number in range(50)} == {"good"}
    assert allocation.choose(0, ("broken",)) == "broken", "rather than nothing"
