from __future__ import annotations

import time
from pathlib import Path

import pytest
from learning import FakeFamily, make_columns
from searching import conductor_for

from pipelines.settings import Settings
from pipelines.tuning.ray_searcher import StudySearcher
from pipelines.tuning.ray_trainable import Keeper
from pipelines.tuning.search import search
from pipelines.tuning.trial_manager import CLUSTER_TRIES
from pipelines.tuning.trial_runner import oof_path

COLUMNS = make_columns(rows=60, folds=3)


def test_what_a_trial_leaves_elsewhere_is_kept_whole(tmp_path: Path) -> None:
    Keeper(str(tmp_path)).keep(7, b"predictions")
    assert oof_path(tmp_path, 7).read_bytes() == b"predictions"
    assert [path.name for path in tmp_path.iterdir()] == ["00007.npy"]


@pytest.mark.parametrize(("trial_seconds", "state"), [(0.01, "cut"), (60.0, None)])
def test_a_process_that_died_elsewhere_was_cut_if_its_time_was_over(
    tmp_path: Path, trial_seconds: float, state: str | None
) -> None:
    families = {"one": FakeFamily("good")}
    conductor = conductor_for(tmp_path, families, COLUMNS, trials=1, trial_seconds=trial_seconds)
    searcher = StudySearcher(conductor, remote=True)
    assert searcher.suggest("a")["number"] == 0
    time.sleep(0.02)
    searcher.on_trial_complete("a", error=True)
    assert [outcome.result.state for outcome in conductor.outcomes] == ([state] if state else [])


def test_a_cluster_takes_more_lost_processes_before_a_trial_has_failed(tmp_path: Path) -> None:
    conductor = conductor_for(tmp_path, {"one": FakeFamily("good")}, COLUMNS, trials=1)
    conductor.tries = CLUSTER_TRIES
    searcher = StudySearcher(conductor, remote=True)
    for lost in range(CLUSTER_TRIES):
        assert not conductor.outcomes
        assert searcher.suggest(str(lost))["number"] == 0
        searcher.on_trial_complete(str(lost), error=True)
    assert [outcome.result.error for outcome in conductor.outcomes] == ["its process died, 4 times"]


def test_a_cluster_that_is_away_is_not_replaced(tmp_path: Path, home: Settings) -> None:
    def away() -> None:
        raise ConnectionError("nobody is there")

    families = {"one": FakeFamily("good")}
    conductor = conductor_for(tmp_path, families, COLUMNS, trials=1)
    with pytest.raises(ConnectionError, match="nobody is there"):
        search(conductor, COLUMNS, families, seed=0, session=away, cluster=True)  # type: ignore[arg-type]
    assert not conductor.outcomes
