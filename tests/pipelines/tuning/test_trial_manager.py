from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from learning import FakeFamily, make_columns

from pipelines.tuning.budget import Budget
from pipelines.tuning.search_journal import Journal
from pipelines.tuning.study import Study
from pipelines.tuning.trial_manager import KILL_SECONDS, Conductor, Turn
from pipelines.tuning.trial_runner import hung_path, oof_path
from pipelines.tuning.trials import Proposal

SHAPE = make_columns().shape


def conduct(folder: Path, trials: int | None = 8, seconds: float | None = None, **options: Any) -> Conductor:
    study = Study({"good": FakeFamily("good")}, SHAPE, seed=0, generation=4, folds=4, timed=trials is None)
    folder.mkdir(exist_ok=True)
    budget = Budget(seconds, trials, cores=2, members=2, folds=4, trial_seconds=options.pop("trial_seconds", None))
    return Conductor(study, budget, Journal(folder, "key"), "roc_auc", **options)


def result(proposal: Proposal, **changes: Any) -> dict[str, Any]:
    loss = -0.8 - proposal.number / 1000
    fields = {
        "state": "done",
        "loss": loss,
        "fold_losses": [loss] * 4,
        "trial_seconds": 0.0,
        "error": "",
        "device": "cpu",
    }
    return {**fields, **changes}


def take(conductor: Conductor) -> Proposal:
    proposal = conductor.next()
    assert isinstance(proposal, Proposal)
    conductor.work(proposal)
    return proposal


def test_waits_for_the_results_that_a_proposal_rests_on(tmp_path: Path) -> None:
    conductor = conduct(tmp_path)
    first = [take(conductor) for _ in range(4)]
    assert conductor.next() is Turn.WAIT
    conductor.ended(first[2].number, result(first[2]))
    assert conductor.next() is Turn.WAIT
    conductor.ended(first[0].number, result(first[0]))
    assert take(conductor).number == 4


def test_a_lost_process_is_forgiven_once(tmp_path: Path) -> None:
    conductor = conduct(tmp_path, trials=1)
    proposal = take(conductor)
    assert conductor.next() is Turn.WAIT, "it may have to be tried again"
    conductor.lost(proposal.number)
    assert take(conductor) == proposal
    conductor.lost(proposal.number)
    assert conductor.next() is Turn.OVER
    assert conductor.outcomes[0].result.state == "failed"
    assert conductor.outcomes[0].result.error == "its process died, 2 times"


def test_a_trial_that_is_killed_for_its_time_is_cut_and_not_tried_again(tmp_path: Path) -> None:
    conductor = conduct(tmp_path, trials=1, trial_seconds=0.01)
    proposal = take(conductor)
    hung_path(tmp_path, proposal.number).write_text("Timeout (0:00:00.01)!")  # as the process that ends itself does
    conductor.lost(proposal.number)
    assert conductor.next() is Turn.OVER
    assert conductor.outcomes[0].result.state == "cut"
    assert not hung_path(tmp_path, proposal.number).exists()


def test_a_process_that_was_slow_to_start_and_killed_by_another_is_not_taken_for_hung(tmp_path: Path) -> None:
    conductor = conduct(tmp_path, trials=1, trial_seconds=0.01)
    proposal = take(conductor)
    hung_path(tmp_path, proposal.number).touch()
    time.sleep(0.02)
    conductor.lost(proposal.number)
    assert take(conductor) == proposal


def test_grace_for_a_first_trial_does_not_outlast_the_budget(tmp_path: Path) -> None:
    families = {name: FakeFamily("good") for name in ("one", "two")}
    study = Study(families, SHAPE, seed=0, generation=4, folds=4, timed=True)
    conductor = Conductor(study, Budget(20.0, None, 2, 2, 4), Journal(tmp_path, "key"), "roc_auc")
    first, second = take(conductor), take(conductor)
    left = conductor.budget.left()
    assert conductor.work(first)["kill_after"] > left + 5.0, "a late model is better than none"
    assert conductor.work(second)["kill_after"] <= left + KILL_SECONDS + 0.1


@pytest.mark.parametrize("trials", [6, None])
def test_a_search_that_is_taken_up_runs_nothing_twice(tmp_path: Path, trials: int | None) -> None:
    seconds = None if trials else 1000.0
    calm = conduct(tmp_path / "calm", trials, seconds)
    stormy = conduct(tmp_path / "stormy", trials, seconds)
    for _ in range(6):
        ran = take(calm)
        calm.ended(ran.number, result(ran))
    for _ in range(3):
        ran = take(stormy)
        stormy.ended(ran.number, result(ran))
    assert take(stormy).number == 3  # and then it is killed
    again = conduct(tmp_path / "stormy", trials, seconds)
    for number in (3, 4, 5):
        ran = take(again)
        assert ran.number == number
        again.ended(ran.number, result(ran))
    assert again.resumed == 3
    assert [o.result.loss for o in again.study.outcomes()] == [o.result.loss for o in calm.study.outcomes()]
    if trials:
        assert again.next() is Turn.OVER
        assert [o.proposal.params for o in again.study.outcomes()] == [o.proposal.params for o in calm.study.outcomes()]


def test_only_the_best_predictions_are_kept(tmp_path: Path) -> None:
    conductor = conduct(tmp_path, trials=5, keep=2)
    for _ in range(5):
        proposal = take(conductor)
        oof_path(tmp_path, proposal.number).touch()
        conductor.ended(proposal.number, result(proposal, loss=float(abs(proposal.number - 2))))
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == ["00001.npy", "00002.npy"]


def test_what_another_runner_takes_over_runs_on_the_cpu(tmp_path: Path) -> None:
    conductor = conduct(tmp_path)
    ran = [take(conductor), take(conductor)]
    conductor.take_back()
    assert [take(conductor) for _ in range(2)] == ran
    assert conductor.speed() == {"trials_per_minute": None, "overhead_seconds": None, "mean_overhead_seconds": None}


def test_speed_counts_what_a_trial_costs_besides_itself(tmp_path: Path) -> None:
    conductor = conduct(tmp_path)
    for _ in range(3):
        proposal = take(conductor)
        time.sleep(0.02)
        conductor.ended(proposal.number, result(proposal, trial_seconds=0.01))
    speed = conductor.speed()
    assert speed["overhead_seconds"] == pytest.approx(0.01, abs=0.02)
    assert speed["trials_per_minute"] is not None
    assert 100 < speed["trials_per_minute"] < 3100
