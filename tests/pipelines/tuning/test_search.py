from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from learning import FakeFamily, make_columns
from searching import conductor_for, no_ray, run_here, run_on_ray

from pipelines.algorithms.catalogue import family
from pipelines.errors import SpecError
from pipelines.settings import Settings
from pipelines.tuning.search import search


def left_over() -> list[str]:
    mine = psutil.Process().children(recursive=True)
    alive = [child for child in mine if child.status() != psutil.STATUS_ZOMBIE]
    # A process that runs many tests may hold a resource tracker of multiprocessing from an earlier one.
    return [child.name() for child in alive if "tracker" not in " ".join(child.cmdline())]


@pytest.mark.fault
def test_bad_trials_are_named_on_ray_and_gpus_go_to_those_that_can_use_them(home: Settings, tmp_path: Path) -> None:
    modes = ("good", "gpu", "gpu_broken", "raise", "nan", "die", "hang")
    families = {mode: FakeFamily(mode) for mode in modes}
    columns = make_columns(rows=300, folds=3)
    conductor = conductor_for(tmp_path, families, columns, trials=10, trial_seconds=5.0, pruning="none")
    assert run_on_ray(conductor, columns, families, home, gpus=1) == "ray"
    outcomes = conductor.study.outcomes()
    assert [outcome.proposal.number for outcome in outcomes] == list(range(10))
    first = {outcome.proposal.family: outcome.answer for outcome in outcomes[: len(modes)]}
    assert {mode: first[mode].state for mode in modes} == {
        "good": "done", "gpu": "done", "gpu_broken": "done", "raise": "failed", "nan": "failed", "die": "failed",
        "hang": "cut",
    }  # fmt: skip
    assert first["raise"].error == "RuntimeError: planted failure"
    assert "not finite" in first["nan"].error
    assert first["die"].error == "its process died, 2 times"
    assert {mode: first[mode].device for mode in ("good", "gpu", "gpu_broken")} == {
        "good": "cpu", "gpu": "gpu", "gpu_broken": "cpu",
    }  # fmt: skip
    assert "no kernel image" in first["gpu_broken"].error
    assert len(list(tmp_path.glob("*.npy"))) == sum(outcome.answer.state == "done" for outcome in outcomes)
    assert left_over() == []


@pytest.mark.fault
def test_without_ray_the_same_search_runs_in_processes_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = make_columns(rows=300, folds=3)
    families = {name: family(name) for name in ("linear", "decision_tree")}
    found = []
    for place, runner in (("pool", search), ("here", run_here)):
        (tmp_path / place).mkdir()
        conductor = conductor_for(tmp_path / place, families, columns, trials=8)
        assert runner(conductor, columns, families, seed=0, session=no_ray) == "processes"  # type: ignore[operator]  # alike
        found.append([(o.proposal, o.answer.state, o.answer.loss) for o in conductor.study.outcomes()])
    assert found[0] == found[1]
    said = capsys.readouterr().err
    assert "WARNING: Ray cannot start (RuntimeError: Ray is not to be had)" in said
    assert "local pool of processes" in said
    assert left_over() == []


def test_a_budget_too_small_is_refused_before_anything_is_tried(tmp_path: Path) -> None:
    families = {"good": FakeFamily("good")}
    columns = make_columns(rows=300)
    conductor = conductor_for(tmp_path, families, columns, seconds=5.0)
    with pytest.raises(SpecError, match="too small for one trial of anything"):
        search(conductor, columns, families, seed=0, session=no_ray)


@pytest.mark.fault
def test_a_hung_trial_is_cut_and_the_search_ends_on_time(tmp_path: Path) -> None:
    families = {mode: FakeFamily(mode) for mode in ("good", "hang")}
    columns = make_columns(rows=300)
    conductor = conductor_for(tmp_path, families, columns, seconds=14.0)
    search(conductor, columns, families, seed=0, session=no_ray)
    # The first trial of a family may outlast its share by the grace that a busy machine is given.
    assert conductor.budget.spent < 14.0 + 12.0
    outcomes = conductor.study.outcomes()
    assert {outcome.proposal.family for outcome in outcomes if outcome.answer.state == "done"} == {"good"}
    assert {outcome.answer.state for outcome in outcomes if outcome.proposal.family == "hang"} == {"cut"}
