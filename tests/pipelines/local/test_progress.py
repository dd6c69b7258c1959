"""A night seen through the ledger."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.artifacts import Night
from pipelines.ledger import Ledger
from pipelines.local.progress import LedgerProgress
from pipelines.settings import Settings


def test_each_change_once_and_no_start_is_missed(home: Settings, make_night: Callable[..., Night]) -> None:
    ledger = Ledger.open(home)
    ledger.open_night(make_night(), "local")
    progress = LedgerProgress(ledger, "demo", "manual__1")
    assert progress.changes() == []
    fence = ledger.begin_stage("demo", "manual__1", "ingest")
    assert [change.state for change in progress.changes()] == ["running"]
    assert progress.changes() == []
    ledger.finish_stage("demo", "manual__1", "ingest", fence, state="done", rows=5, seconds=0.5, reused=False)
    fence = ledger.begin_stage("demo", "manual__1", "sample")
    ledger.finish_stage("demo", "manual__1", "sample", fence, state="failed", error={"kind": "DataError"})
    assert [(change.stage, change.state) for change in progress.changes()] == [
        ("ingest", "success"),
        ("sample", "running"),
        ("sample", "failed"),
    ]
    ledger.begin_stage("demo", "manual__1", "sample")
    again = progress.changes()
    assert [(change.state, change.try_number) for change in again] == [("running", 2)]
