"""K15 and K16, the search: trials that raise, hang, die, return NaN or want too much; workers that are killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from learning import FakeFamily, make_columns
from searching import conductor_for, no_ray, run_here

from pipelines.errors import SpecError
from pipelines.tuning.results import check
from pipelines.tuning.search import search

COLUMNS = make_columns(rows=300, folds=3)


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.fault
@pytest.mark.timeout(180)
def test_a_search_with_bad_trials_ends_and_nan_never_wins(tmp_path: Path) -> None:
    families = {mode: FakeFamily(mode) for mode in ("good", "unlucky", "hang", "die", "nan", "greedy")}
    conductor = conductor_for(tmp_path, families, COLUMNS, trials=24, trial_seconds=3.0, memory_mb=1500, pruning="none")
    search(conductor, COLUMNS, families, seed=0, session=no_ray)
    outcomes = conductor.study.outcomes()
    assert len(outcomes) == 24
    states = {mode: {o.answer.state for o in outcomes if o.proposal.family == mode} for mode in families}
    assert states["good"] == {"done"}
    assert states["unlucky"] <= {"done", "failed"}
    assert (states["hang"], states["die"], states["nan"], states["greedy"]) == (
        {"cut"},
        {"failed"},
        {"failed"},
        {"failed"},
    )
    done = check(outcomes)
    assert done[0].proposal.family in ("good", "unlucky")
    assert {"hang", "die", "nan", "greedy"} <= set(conductor.study.allocation.dropped)
    assert workers() == []


@pytest.mark.fault
def test_below_half_success_it_fails_and_names_the_reasons(tmp_path: Path) -> None:
    families = {"raise": FakeFamily("raise"), "good": FakeFamily("good"), "nan": FakeFamily("nan")}
    conductor = conductor_for(tmp_path, families, COLUMNS, trials=3)
    run_here(conductor, COLUMNS, families)
    with pytest.raises(SpecError, match="too few trials") as caught:
        check(conductor.study.outcomes())
    assert caught.value.faults[0] == "trial 1 raise: RuntimeError: planted failure"
    assert "not finite" in caught.value.faults[1]


@pytest.mark.fault
@pytest.mark.timeout(120)
def test_a_killed_worker_costs_one_trial_more_and_changes_nothing(tmp_path: Path) -> None:
    families = {"good": FakeFamily("slow")}
    found = []
    for place in ("calm", "stormy"):
        (tmp_path / place).mkdir()
        conductor = conductor_for(tmp_path / place, families, COLUMNS, trials=8, pruning="none")
        over = threading.Event()

        def kill(place: str = place, over: threading.Event = over) -> None:
            while not over.wait(0.05):
                if place == "stormy" and len(list((tmp_path / place).glob("0*.npy"))) >= 3 and workers():
                    os.kill(workers()[0].pid, signal.SIGKILL)
                    return

        thread = threading.Thread(target=kill)
        thread.start()
        search(conductor, COLUMNS, families, seed=0, session=no_ray)
        over.set()
        thread.join()
        found.append([(o.proposal, o.answer.state, o.answer.loss) for o in conductor.study.outcomes()])
    assert found[0] == found[1]
    time.sleep(0.1)
    assert workers() == []
