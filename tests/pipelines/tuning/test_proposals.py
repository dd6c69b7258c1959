from __future__ import annotations

import random

from learning import make_columns

from pipelines.algorithms.catalogue import FAMILIES, family
from pipelines.tuning.proposals import Answer, Proposal, Study

SHAPE = make_columns().shape
FOUND = {name: family(name) for name in FAMILIES}


def pretend(proposal: Proposal) -> Answer:
    """A score that depends on the proposal alone; every seventh trial fails."""
    if proposal.number % 7 == 6:
        return Answer("failed", error="planted")
    loss = sum(len(str(value)) for value in proposal.params.values()) / 100 - len(proposal.family) / 10
    return Answer("done", loss=loss, fold_losses=(loss, loss))


def play(slots: int, order: random.Random) -> list[Proposal]:
    """Run 24 trials on ``slots`` workers whose trials end in random order."""
    study = Study(FOUND, SHAPE, seed=5, generation=4, prune=True)
    running: list[Proposal] = []
    proposals: list[Proposal] = []
    while len(proposals) < 24 or running:
        while len(proposals) < 24 and len(running) < slots and study.ready():
            proposals.append(study.propose())
            running.append(proposals[-1])
        ended = running.pop(order.randrange(len(running)))
        study.answer(ended.number, pretend(ended))
    return proposals


def test_proposals_do_not_depend_on_cores_or_finish_order() -> None:
    alone = play(1, random.Random(0))
    for slots in (2, 3, 4, 8):
        assert play(slots, random.Random(slots)) == alone


def test_starts_with_each_family_then_the_portfolios() -> None:
    proposals = play(2, random.Random(0))
    assert [proposal.family for proposal in proposals[:3]] == list(FAMILIES)
    assert [proposal.first for proposal in proposals[:4]] == [True, True, True, False]
    for rank, proposal in enumerate(p for p in proposals[:7] if p.family == "lightgbm"):
        assert proposal.params == family("lightgbm").portfolio(SHAPE)[rank]
    assert len({str(proposal.params) for proposal in proposals}) == 24


def test_rival_is_the_best_known_trial_and_never_set_for_a_first() -> None:
    proposals = play(1, random.Random(0))
    assert all(not proposal.rival for proposal in proposals if proposal.first)
    assert len(proposals[-1].rival) == 2
