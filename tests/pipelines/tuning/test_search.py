from __future__ import annotations

import time
from pathlib import Path

import learning
import psutil
import pytest
from learning import FakeFamily, make_columns

from pipelines.algorithms.base import Family
from pipelines.clusters import ray_session
from pipelines.settings import Settings
from pipelines.tuning.budget import Budget
from pipelines.tuning.proposals import Study
from pipelines.tuning.search import Outcome, search


def run(
    home: Settings, folder: Path, families: dict[str, Family], seconds: float | None, trials: int | None
) -> list[Outcome]:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(learning)  # the workers do not know the tests' helpers
    try:
        columns = make_columns()
        study = Study(families, columns.shape, seed=0, generation=4, prune=False)
        budget = Budget(seconds, trials, cores=2, members=4, folds=4)
        return search(columns, families, study, budget, folder, 0, lambda: ray_session(home))
    finally:
        cloudpickle.unregister_pickle_by_value(learning)


def ray_processes() -> list[str]:
    mine = psutil.Process().children(recursive=True)
    alive = [child for child in mine if child.status() != psutil.STATUS_ZOMBIE]
    # A process that runs many tests may hold a resource tracker of multiprocessing from an earlier one.
    return [child.name() for child in alive if "tracker" not in " ".join(child.cmdline())]


@pytest.mark.fault
def test_failing_trials_are_named_and_the_others_go_on(home: Settings, tmp_path: Path) -> None:
    families = {mode: FakeFamily(mode) for mode in ("good", "raise", "nan", "die")}
    outcomes = run(home, tmp_path, families, None, 8)
    assert [outcome.proposal.number for outcome in outcomes] == list(range(8))
    first = {outcome.proposal.family: outcome.answer for outcome in outcomes[:4]}
    assert first["good"].state == "done"
    assert first["raise"].error == "RuntimeError: planted failure"
    assert "not finite" in first["nan"].error
    assert first["die"].error == "its process died"
    assert len(list(tmp_path.glob("*.npy"))) == sum(outcome.answer.state == "done" for outcome in outcomes)
    assert ray_processes() == []


@pytest.mark.fault
def test_a_hung_trial_is_cut_and_the_search_ends_on_time(home: Settings, tmp_path: Path) -> None:
    started = time.time()
    outcomes = run(home, tmp_path, {mode: FakeFamily(mode) for mode in ("good", "hang")}, 25.0, None)
    assert time.time() - started < 60.0
    assert {outcome.proposal.family for outcome in outcomes if outcome.answer.state == "done"} == {"good"}
    assert {outcome.answer.state for outcome in outcomes if outcome.proposal.family == "hang"} == {"cut"}
    assert ray_processes() == []
