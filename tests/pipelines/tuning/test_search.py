from __future__ import annotations

import time
from pathlib import Path

import pytest
from learning import FakeFamily, make_columns
from searching import conductor_for, left_over, no_ray, run_here

from pipelines.clusters import prepare_environment
from pipelines.errors import SpecError
from pipelines.tuning.budget import ENSEMBLE_SECONDS
from pipelines.tuning.search import preload, search

pytestmark = pytest.mark.slow


@pytest.mark.fault
def test_without_ray_the_same_search_runs_in_processes_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = make_columns(rows=300, folds=3)
    families = {mode: FakeFamily(mode) for mode in ("good", "raise")}
    found = []
    for folder, runner in (("pool", search), ("here", run_here)):
        (tmp_path / folder).mkdir()
        conductor = conductor_for(tmp_path / folder, families, columns, trials=6)
        assert runner(conductor, columns, families, seed=0, session=no_ray) == "processes"  # type: ignore[operator]  # alike
        found.append([(o.proposal, o.result.state, str(o.result.loss)) for o in conductor.study.outcomes()])
    assert found[0] == found[1]
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "Ray cannot start (RuntimeError: Ray is not to be had)" in warning
    assert "local pool of processes" in warning
    assert left_over() == []


def test_a_search_that_wants_no_ray_says_nothing_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    families = {"good": FakeFamily("good")}
    columns = make_columns(rows=300, folds=3)
    conductor = conductor_for(tmp_path, families, columns, trials=2)
    assert search(conductor, columns, families, seed=0, session=None) == "processes"
    assert [outcome.result.state for outcome in conductor.study.outcomes()] == ["done", "done"]
    assert "WARNING" not in caplog.text


def test_workers_import_what_the_first_trials_need_and_this_machine_has() -> None:
    families = {name: FakeFamily("good") for name in ("first", "second", "third")}
    for own, needs in zip(families.values(), (("json",), ("no_such_library", "math"), ("csv",)), strict=True):
        own.needs = needs  # type: ignore[misc]  # as declared
    assert preload(families, 2) == ["pipelines.tuning.ray_trainable", "json", "math"]


def test_tune_keeps_as_many_idle_processes_as_trials_run_at_a_time() -> None:
    prepare_environment()
    from ray.tune.execution import tune_controller

    from pipelines.tuning.ray_searcher import keep_processes

    def kept() -> list[bool]:
        cache = tune_controller._ObjectCache(may_keep_one=True)
        found = [cache.cache_object("one core", each) for each in "abc"]
        assert list(cache.flush_cached_objects()) == []
        assert len(list(cache.flush_cached_objects(force_all=True))) == sum(found)
        assert cache.total_max_objects == 0  # Tune ends all once it is so, and no trial is left
        return found

    keep_processes(2)
    assert kept() == [True, True, False]
    keep_processes(0)
    assert kept() == [True, False, False]


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
    began = time.time()
    search(conductor, columns, families, seed=0, session=no_ray)
    assert time.time() - began < 14.0 - ENSEMBLE_SECONDS, "what comes after it has its time"
    outcomes = conductor.study.outcomes()
    assert {outcome.proposal.family for outcome in outcomes if outcome.result.state == "done"} == {"good"}
    assert {outcome.result.state for outcome in outcomes if outcome.proposal.family == "hang"} == {"cut"}
    assert "killed" in next(outcome.result.error for outcome in outcomes if outcome.proposal.family == "hang")
