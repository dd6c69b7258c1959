from __future__ import annotations

import pytest

from pipelines.errors import SpecError
from pipelines.tuning.proposals import Answer, Proposal
from pipelines.tuning.search import Outcome
from pipelines.tuning.stage import _check, _journal


def outcome(number: int, state: str, loss: float = 0.5) -> Outcome:
    error = "planted failure" if state == "failed" else ""
    return Outcome(Proposal(number, "linear", {"strength": 1.0}, False), Answer(state, loss=loss, error=error))


@pytest.mark.fault
def test_below_half_success_is_an_error_that_names_each_failure() -> None:
    with pytest.raises(SpecError, match="too few trials") as caught:
        _check([outcome(0, "done"), outcome(1, "failed"), outcome(2, "failed")])
    assert caught.value.faults == ["trial 2 linear: planted failure", "trial 3 linear: planted failure"]
    with pytest.raises(SpecError, match="0 of 1"):
        _check([outcome(0, "cut")])


def test_best_first_and_pruned_is_no_failure() -> None:
    done = _check([outcome(0, "done", 0.4), outcome(1, "pruned"), outcome(2, "done", 0.3), outcome(3, "failed")])
    assert [found.proposal.number for found in done] == [2, 0]


def test_journal_holds_the_score_in_the_metric_s_own_direction() -> None:
    table = _journal([outcome(0, "done", -0.9)], "roc_auc")
    assert table["score"].to_pylist() == [0.9]
    assert table["params"].to_pylist() == ['{"strength":1.0}']
