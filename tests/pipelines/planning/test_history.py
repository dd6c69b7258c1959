"""What is taken from the ledger: nights that succeeded, with their stages, usage, rows and budget."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipelines.artifacts import Night
from pipelines.ledger import Ledger
from pipelines.planning.growth import n_log_n
from pipelines.planning.history import Search, past_nights, work_of
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes")
USAGE = {"cpu_seconds": 3.0, "gpu_seconds": 1.0, "peak_memory": 10**9, "bytes_read": 0, "bytes_written": 7}


def add(ledger: Ledger, name: str, day: int, state: str = "success", source: str = "local") -> None:
    night = Night(model=MODEL, night=name, as_of=datetime(2026, 3, day, tzinfo=UTC))
    ledger.open_night(night, source)
    for stage, rows, stats, spec in (
        ("ingest", 1000 * day, {"bytes": 50_000 * day}, {}),
        ("tune", 8, {}, {"trials": 8, "budget_seconds": 60.0}),
    ):
        fence = ledger.begin_stage("demo", name, stage, spec)
        ledger.finish_stage("demo", name, stage, fence, state="done", rows=rows, stats=stats, reused=stage == "tune")
        ledger.add_task_usage(stage, state="failed", seconds=1, usage=USAGE, model="demo", night=name, fence=fence + 9)
        ledger.add_task_usage(stage, state="done", seconds=1, usage=USAGE, model="demo", night=name, fence=fence)
    ledger.close_night("demo", name, state)


def test_nights_that_succeeded_are_read_oldest_first(home: Settings) -> None:
    with Ledger.open(home) as ledger:
        for name, day, state in (("b", 2, "success"), ("a", 1, "success"), ("c", 3, "failed")):
            add(ledger, name, day, state)
        nights = past_nights(ledger, "demo")
        assert [night.as_of.day for night in nights] == [1, 2]
        assert nights[0].source_bytes == 50_000
        assert nights[0].search() == Search(trials=8)
        ingest = nights[0].runs["ingest"]
        assert (ingest.rows, ingest.cpu_seconds, ingest.gpu_seconds, ingest.bytes_written) == (1000, 3.0, 1.0, 7)
        assert nights[0].runs["tune"].reused
        assert 0 <= ingest.seconds <= nights[0].seconds
        assert nights[0].between == pytest.approx(nights[0].seconds - sum(r.seconds for r in nights[0].runs.values()))
        assert past_nights(ledger, "other") == []


def test_nights_of_the_newest_kind_stand_alone_once_there_are_three(home: Settings) -> None:
    with Ledger.open(home) as ledger:
        add(ledger, "l", 1)
        for day in (2, 3):
            add(ledger, f"p{day}", day, source="platform")
        assert len(past_nights(ledger, "demo")) == 3
        add(ledger, "p4", 4, source="platform")
        assert [night.source for night in past_nights(ledger, "demo")] == ["platform"] * 3


def test_work_is_rows_trials_or_seconds() -> None:
    rows = {"ingest": 4e6, "sample": 2e6, "features": 1e6}
    assert work_of("sample", rows, Search()) == 4e6
    assert work_of("clean", rows, Search()) == n_log_n(2e6)
    assert work_of("tune", rows, Search(trials=10)) == 1e7
    assert work_of("ensemble", rows, Search(trials=10)) == 1e6
    assert work_of("ensemble", rows, Search(seconds=90.0)) == 90.0
    assert work_of("package", rows, Search()) is None
