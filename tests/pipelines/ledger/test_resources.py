"""What tasks and services took is kept: once per attempt, and by day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from pipelines.ledger import Ledger, resources
from pipelines.settings import Settings

TOOK = {"cpu_seconds": 2.0, "gpu_seconds": 0.5, "peak_memory": 5_000_000_000, "bytes_read": 1, "bytes_written": None}


def at(monkeypatch: pytest.MonkeyPatch, day: int) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 3, day, 12, tzinfo=UTC)

    monkeypatch.setattr(resources, "datetime", Clock)
    monkeypatch.setattr(resources, "now", Clock.now)


def test_an_attempt_is_kept_once_and_every_attempt_counts(home: Settings) -> None:
    with Ledger.open(home) as ledger:
        for fence, state in ((1, "failed"), (1, "done"), (2, "done")):
            where = {"model": "demo", "night": "n1", "fence": fence}
            ledger.add_task_usage("tune", state=state, seconds=4.0, usage=TOOK, **where)
        for _ in range(2):
            ledger.add_task_usage("monitor", state="done", seconds=1.0, usage=TOOK)
        rows = ledger.task_usage("demo", "n1")
        assert [(row.fence, row.state) for row in rows] == [(1, "failed"), (2, "done")]
        assert (rows[0].peak_memory, rows[0].bytes_written) == (5_000_000_000, None)
        newest = {(row.model, row.stage): row.fence for row in ledger.newest_task_usage()}
        assert newest == {("demo", "tune"): 2, (None, "monitor"): 0}


def test_old_runs_of_operations_are_forgotten_and_nights_are_not(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(home) as ledger:
        monkeypatch.setattr(resources, "now", lambda: datetime(2024, 3, 1, tzinfo=UTC))
        ledger.add_task_usage("backup", state="done", seconds=1.0, usage=TOOK)
        ledger.add_task_usage("tune", state="done", seconds=1.0, usage=TOOK, model="demo", night="n1", fence=1)
        monkeypatch.undo()
        ledger.add_task_usage("monitor", state="done", seconds=1.0, usage=TOOK)
        assert sorted(row.stage for row in ledger.newest_task_usage()) == ["monitor", "tune"]


def test_counters_are_split_by_day_however_often_they_are_told(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(home) as ledger:
        for day, cpu, rows in ((1, 1.0, 10), (1, 3.0, 40), (1, 3.0, 40), (2, 4.5, 60), (4, 5.0, 61)):
            at(monkeypatch, day)
            ledger.observe_serving("demo", 1, "a", cpu_seconds=cpu, rows=rows, memory=7)
        ledger.observe_serving("demo", 1, "b", cpu_seconds=2.0, rows=5, memory=7)
        found = [(row.process, row.day, row.cpu_seconds, row.rows) for row in ledger.serving_usage("demo")]
    assert sorted(found) == [
        ("a", date(2026, 3, 1), 3.0, 40),
        ("a", date(2026, 3, 2), 1.5, 20),
        ("a", date(2026, 3, 4), 0.5, 1),
        ("b", date(2026, 3, 4), 2.0, 5),
    ]
