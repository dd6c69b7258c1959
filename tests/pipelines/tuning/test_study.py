from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from learning import make_columns

from pipelines.algorithms.families import family
from pipelines.tuning.study import Study
from pipelines.tuning.trials import Proposal, TrialResult

SHAPE = make_columns().shape
NAMES = ("lightgbm", "extra_trees", "linear")
FOUND = {name: family(name) for name in NAMES}


def pretend(proposal: Proposal) -> TrialResult:
    """A score that depends on the proposal alone; every seventh trial fails, and the linear ones lose."""
    if proposal.number % 7 == 6:
        return TrialResult("failed", error="planted")
    loss = sum(len(str(value)) for value in proposal.params.values()) / 1e4 - 0.9 + 0.1 * (proposal.family == "linear")
    return TrialResult("done", loss=loss, fold_losses=(loss, loss), size=proposal.number)


def play(slots: int, order: random.Random, trials: int = 24, **options: Any) -> tuple[list[Proposal], Study]:
    """Run trials on ``slots`` workers whose trials end in random order."""
    study = Study(FOUND, SHAPE, seed=5, generation=4, folds=2, **options)
    running: list[Proposal] = []
    proposals: list[Proposal] = []
    while len(proposals) < trials or running:
        while len(proposals) < trials and len(running) < slots and study.ready():
            proposal = study.propose()
            assert proposal is not None
            proposals.append(proposal)
            running.append(proposal)
        ended = running.pop(order.randrange(len(running)))
        study.record(ended.number, pretend(ended))
    return proposals, study


@pytest.mark.parametrize("strategy", ["bayesian", "random", "grid", "nsga2", "cmaes", "population"])
def test_proposals_do_not_depend_on_cores_or_finish_order(strategy: str) -> None:
    alone, _ = play(1, random.Random(0), strategy=strategy)
    for slots in (2, 4, 8):
        assert play(slots, random.Random(slots), strategy=strategy)[0] == alone
    assert len({(proposal.family, str(proposal.params)) for proposal in alone}) == 24
    for proposal in alone:
        space = FOUND[proposal.family].space(SHAPE)
        assert set(proposal.params) == set(space)
        assert all(space[name]._contains(space[name].to_internal_repr(v)) for name, v in proposal.params.items())


@pytest.mark.parametrize(
    ("rows", "devices"), [(19_999, ["cpu", "cpu"]), (20_000, ["cpu", "gpu"]), (50_000, ["gpu", "gpu"])]
)
def test_a_gpu_is_for_families_that_are_faster_there(rows: int, devices: list[str]) -> None:
    families = {name: family(name) for name in ("lightgbm", "xgboost", "catboost")}
    study = Study(families, dataclasses.replace(SHAPE, rows=rows), seed=0, generation=4, folds=2)
    assert study.propose().device == "cpu"  # type: ignore[union-attr]  # a first one is always there
    study.gpu_share = 0.5
    assert [study.propose().device for _ in range(2)] == devices  # type: ignore[union-attr]  # as above


def test_starts_with_each_family_then_the_portfolios() -> None:
    proposals, _ = play(2, random.Random(0))
    assert [proposal.family for proposal in proposals[:3]] == list(NAMES)
    assert [proposal.first for proposal in proposals[:4]] == [True, True, True, False]
    for rank, proposal in enumerate(p for p in proposals[:7] if p.family == "lightgbm"):
        assert proposal.params == family("lightgbm").portfolio(SHAPE)[rank]
    assert {proposal.origin for proposal in proposals[:3]} == {"portfolio"}
    assert proposals[-1].origin == "search"


def test_last_nights_best_come_first_as_today_s_space_has_them() -> None:
    best = {**family("lightgbm").portfolio(SHAPE)[1], "num_leaves": 100_000}
    warm = [
        {"family": "gone", "params": {}},
        {"family": "linear", "params": {"other": 1.0}},
        {"family": "lightgbm", "params": best},
    ]
    proposals, _ = play(1, random.Random(0), warm=warm)
    assert (proposals[0].family, proposals[0].origin) == ("lightgbm", "warm")
    assert proposals[0].params["num_leaves"] == family("lightgbm").space(SHAPE)["num_leaves"].high  # type: ignore[attr-defined]
    assert [proposal.family for proposal in proposals[1:3]] == [name for name in NAMES if name != "lightgbm"]
    assert all(p.family != "lightgbm" for p in proposals if p.origin == "portfolio"), "known to be worse"


def test_a_family_that_loses_is_dropped_early_and_named() -> None:
    proposals, study = play(1, random.Random(0), trials=30)
    numbers = [proposal.number for proposal in proposals if proposal.family == "linear"]
    assert len(numbers) <= 4
    assert max(numbers) < 12
    assert "behind the best" in study.allocation.dropped["linear"]
    assert len(study.allocation.dropped) < len(NAMES)


def test_a_first_trial_has_no_bars_and_later_ones_are_compared_with_the_best() -> None:
    proposals, _ = play(1, random.Random(0))
    assert all(not proposal.bars for proposal in proposals if proposal.first)
    assert len(proposals[-1].rival) == 2
    assert proposals[-1].rival == (proposals[-1].rival_loss,) * 2, "as pretended, folds are alike"
    assert len(proposals[-1].bars) == 1
    assert all(not proposal.bars for proposal in play(1, random.Random(0), pruning="none")[0])


def test_only_families_that_there_is_time_for_are_proposed() -> None:
    study = Study(FOUND, SHAPE, seed=5, generation=1, folds=2, timed=True)
    for _ in range(3):
        proposal = study.propose()
        assert proposal is not None
        study.record(proposal.number, TrialResult("done", loss=-0.9, fold_losses=(-0.9, -0.9), seconds=1.0))
    for _ in range(8):
        proposal = study.propose(lambda name, fresh: name == "linear")
        assert proposal is not None
        assert proposal.family == "linear"
        study.record(proposal.number, TrialResult("done", loss=-0.9, fold_losses=(-0.9, -0.9), seconds=1.0))
    assert study.propose(lambda name, fresh: False) is None


def test_a_slow_family_s_first_trial_can_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: family(name) for name in ("lightgbm", "linear")}
    monkeypatch.setattr(type(found["linear"]), "most_rows", 1_000)
    study = Study(found, SHAPE, seed=0, generation=1, folds=3)
    first = study.propose()
    assert first is not None
    study.record(0, TrialResult("done", loss=0.2, fold_losses=(0.2, 0.2, 0.2), seconds=1.0))
    second = study.propose()
    assert second is not None
    assert (second.family, second.first) == ("linear", True)
    assert second.bars
