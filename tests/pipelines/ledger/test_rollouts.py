"""One release of a model at a time; what died is taken over; a person's switch ends what is under way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.errors import DeployError
from pipelines.ledger import Ledger, SupersededError
from pipelines.ledger import rollouts as module


@pytest.fixture
def ledger(home, make_night):
    with Ledger.open(home) as opened:
        for number in (1, 2, 3):
            night = make_night(f"night-{number}", fence=1)
            opened.reserve("demo", night.night, 1)
            opened.advance("demo", night.night, 1, state="staged", model_uri=f"m{number}", model_digest=f"d{number}")
            assert opened.assign_version("demo", night.night, 1) == number
        opened.switch("demo", 1, 0, "first", "test")
        yield opened


def begin(ledger, version, night, fence=1):
    return ledger.begin_rollout("demo", version, 1, night, fence)


def test_of_two_releases_at_once_one_goes_on_and_the_other_is_told(ledger):
    first = begin(ledger, 2, "night-2")
    with pytest.raises(DeployError, match="another release of this model is under way") as caught:
        begin(ledger, 3, "night-3")
    assert "version 2" in caught.value.seen
    ledger.switch("demo", 2, 1, "proved", "deploy", rollout=first.id)
    (row,) = ledger.rollouts("demo")
    assert (row.state, row.share) == ("promoted", 0)
    assert begin(ledger, 3, "night-3").control == 1


def test_a_retry_goes_on_with_its_release_and_an_older_attempt_is_refused(ledger):
    first = begin(ledger, 2, "night-2", fence=1)
    ledger.expose(first.id, 25)
    again = begin(ledger, 2, "night-2", fence=2)
    assert (again.id, again.share, again.fence) == (first.id, 25, 2)
    with pytest.raises(SupersededError):
        begin(ledger, 2, "night-2", fence=1)


def test_what_a_dead_deployer_left_reaches_nobody_and_is_taken_over(ledger, monkeypatch):
    first = begin(ledger, 2, "night-2")
    ledger.expose(first.id, 50)
    assert [row.id for row in ledger.exposed_rollouts()] == [first.id]
    later = module.now() + module.SILENT_AFTER + timedelta(seconds=1)
    monkeypatch.setattr(module, "now", lambda: later)
    assert ledger.exposed_rollouts() == []
    second = begin(ledger, 3, "night-3")
    assert {row.id: row.state for row in ledger.rollouts("demo")} == {first.id: "aborted", second.id: "running"}
    with pytest.raises(DeployError, match="ended by somebody else") as caught:
        ledger.beat(first.id)
    assert "its deployer died" in caught.value.seen


def test_a_switch_by_hand_ends_a_release_and_its_version_cannot_go_live_any_more(ledger):
    first = begin(ledger, 2, "night-2")
    ledger.expose(first.id, 5, shadow=True)
    ledger.switch("demo", 3, 0, "by hand", "a person")
    (row,) = ledger.rollouts("demo")
    assert (row.state, row.share, row.shadow, row.why) == ("aborted", 0, False, "version 3 went live")
    with pytest.raises(DeployError, match="ended by somebody else"):
        ledger.switch("demo", 2, 1, "proved", "deploy", rollout=first.id)
    assert ledger.route("demo") == 3
    assert [entry.to_version for entry in ledger.history("demo")] == [1, 3]


def test_what_is_paused_is_superseded_by_the_next_release(ledger):
    first = begin(ledger, 2, "night-2")
    ledger.end_rollout(first.id, "paused", "12 of 300 requests")
    assert ledger.exposed_rollouts() == []
    begin(ledger, 3, "night-3")
    assert ledger.rollouts("demo")[0].state == "aborted"


def test_a_paused_release_goes_on_when_its_night_tries_again(ledger):
    first = begin(ledger, 2, "night-2")
    ledger.note_rollout(first.id, {"steps": [{"share": 5}]})
    ledger.end_rollout(first.id, "paused", "12 of 300 requests")
    again = begin(ledger, 2, "night-2", fence=2)
    assert (again.id, again.state, again.evidence) == (first.id, "running", {"steps": [{"share": 5}]})
    ledger.expose(again.id, 25)
    assert [row.share for row in ledger.exposed_rollouts()] == [25]


def test_a_paused_version_that_somebody_puts_into_service_is_promoted(ledger):
    first = begin(ledger, 2, "night-2")
    ledger.end_rollout(first.id, "paused", "12 of 300 requests")
    ledger.switch("demo", 2, 0, "good enough", "a person")
    (row,) = ledger.rollouts("demo")
    assert (row.state, row.why) == ("promoted", "put into service by hand")
    assert ledger.route("demo") == 2


def test_counts_of_gateways_stand_side_by_side(ledger):
    first = begin(ledger, 2, "night-2")
    ledger.count_arm(first.id, 5, "control", "a", {"requests": 1})
    ledger.count_arm(first.id, 5, "control", "a", {"requests": 2})
    ledger.count_arm(first.id, 5, "control", "b", {"requests": 5})
    assert sorted(row.counts["requests"] for row in ledger.arms(first.id)) == [2, 5]


def test_evidence_is_kept(ledger):
    first = begin(ledger, 2, "night-2")
    ledger.note_rollout(first.id, {"steps": [{"share": 5}]})
    ledger.end_rollout(first.id, "aborted", "worse")
    ledger.end_rollout(first.id, "promoted", "too late")
    (row,) = ledger.rollouts()
    assert row.evidence == {"steps": [{"share": 5}]}
    assert (row.state, row.why) == ("aborted", "worse")
    assert row.finished_at is not None
