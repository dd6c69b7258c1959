"""Actions of people: one of two that saw the same passes, and how each ended is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.ledger import Ledger
from pipelines.ledger.actions import Mark


@pytest.fixture
def ledger(home):
    with Ledger.open(home) as ledger:
        yield ledger


def test_an_action_is_kept_with_who_why_and_how_it_ended(ledger):
    made = ledger.act("demo", "rollback", actor="ada", why="odd", about={"version": 3}, seen=ledger.mark("demo"))
    assert made is not None
    assert made.outcome == "asked"
    ledger.acted(made.id, "done", {"version": 3, "run": "manual__1"})
    (row,) = ledger.actions("demo")
    assert (row.actor, row.why, row.about, row.outcome) == ("ada", "odd", {"version": 3, "run": "manual__1"}, "done")
    assert ledger.actions("other") == []
    assert [each.id for each in ledger.actions()] == [made.id]


def test_what_was_seen_before_another_acted_is_refused(ledger):
    seen = ledger.mark("demo")
    assert ledger.act("demo", "pause", actor="ada", why="a", about={}, seen=seen) is not None
    assert ledger.act("demo", "pause", actor="bob", why="b", about={}, seen=seen) is None
    assert ledger.act("other", "pause", actor="bob", why="b", about={}, seen=Mark(0, 0)) is not None
    assert [row.actor for row in ledger.actions("demo")] == ["ada"]


def test_of_many_at_once_that_saw_the_same_one_passes(ledger):
    seen = ledger.mark("demo")

    def act(number):
        return ledger.act("demo", "pause", actor=f"user-{number}", why="x", about={}, seen=seen)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(act, range(16)))
    assert sum(each is not None for each in made) == 1
    assert len(ledger.actions("demo")) == 1


@pytest.mark.parametrize("text", ["", "1", "a-b", "1-2-3", "-1-2", "1-", "٣-1", "9" * 20 + "-1"])
def test_a_mark_that_is_none_is_not_read(text):
    assert Mark.read(text) is None
    assert Mark.read(str(Mark(12, 7))) == Mark(12, 7)
