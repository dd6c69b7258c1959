"""K15: trials that raise, hang, die or return NaN do not decide a search, and do not end it."""

from __future__ import annotations

from pathlib import Path

import pytest
from learning import FakeFamily, make_columns
from searching import Planned, conductor_for, left_over, no_ray, run_here

from pipelines.errors import SpecError
from pipelines.tuning.results import check
from pipelines.tuning.search import search

COLUMNS = make_columns(rows=300, folds=3)
PLAN = ("raise", "hang", "good", "nan", "raise", "good", "die", "raise", *["good"] * 12, "raise", "raise", "raise")


@pytest.mark.fault
@pytest.mark.timeout(180)
def test_a_search_with_bad_trials_ends_and_nan_never_wins(tmp_path: Path) -> None:
    families = {"planned": Planned(PLAN)}
    count = len(PLAN)
    assert PLAN.count("raise") / count == pytest.approx(0.3, abs=0.05)
    conductor = conductor_for(tmp_path, families, COLUMNS, trials=count, trial_seconds=4.0, pruning="none")
    search(conductor, COLUMNS, families, seed=0, session=no_ray)
    outcomes = conductor.study.outcomes()
    told = {o.proposal.params["index"]: o.result for o in outcomes}
    assert sorted(told) == list(range(count))
    wanted = {"good": "done", "hang": "cut"}
    assert [told[index].state for index in range(count)] == [wanted.get(mode, "failed") for mode in PLAN]
    assert told[PLAN.index("hang")].seconds < 20.0
    assert told[PLAN.index("die")].error == "its process died, 2 times"
    assert "not finite" in told[PLAN.index("nan")].error
    done = check(outcomes)
    assert {PLAN[o.proposal.params["index"]] for o in done} == {"good"}
    assert left_over() == []


@pytest.mark.fault
def test_below_half_success_it_fails_and_names_the_reasons(tmp_path: Path) -> None:
    families = {"raise": FakeFamily("raise"), "good": FakeFamily("good"), "nan": FakeFamily("nan")}
    conductor = conductor_for(tmp_path, families, COLUMNS, trials=3)
    run_here(conductor, COLUMNS, families)
    with pytest.raises(SpecError, match="too few trials") as caught:
        check(conductor.study.outcomes())
    assert caught.value.faults[0] == "trial 1 raise: RuntimeError: planted failure"
    assert "not finite" in caught.value.faults[1]
