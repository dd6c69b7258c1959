"""Processes that wait for their stage: taken once, bounded in number, ended with the night."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from aimass_airflow import ahead
from aimass_airflow.ahead import Ahead
from aimass_airflow.stage_process import StageProcess

from pipelines.artifacts import Call, Night, Request, StageResult
from pipelines.ingestion.spec import IngestSpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.waiting import wait_until

pytestmark = pytest.mark.slow

CHAIN = ("ingest", "sample", "clean", "validate", "split", "features", "tune", "ensemble", "evaluate")


def waiting() -> set[int]:
    return {child.pid for child in psutil.Process().children() if "pipelines" in child.cmdline()}


def test_a_stage_runs_in_the_process_that_waited_for_it(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night]
) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("id,label\n" + "".join(f"{n},{'yes' if n % 3 else 'no'}\n" for n in range(30)))
    night = make_night(key=("id",))
    with Ledger.open(home) as ledger:
        ledger.open_night(night, "local")
        night = night.model_copy(update={"fence": ledger.begin_stage("demo", night.night, "ingest")})
    spec = IngestSpec(source=str(source)).model_dump(mode="json")
    path = tmp_path / "request.json"
    path.write_text(Request(stage="ingest", night=night, spec=spec).model_dump_json())
    lines: list[str] = []
    with Ahead(("ingest",)) as coming:
        process = coming.take("ingest")
        assert process is not None
        process.begin(path, {"AIRFLOW_CONN_LAKE": "sqlite://"})
        assert not process.waits
        assert process.follow(lines.append) == 0, lines
        assert coming.take("ingest") is None, "another attempt has a process of its own"
        process.stop()
    assert StageResult.model_validate_json((tmp_path / "result.json").read_bytes()).ref.rows == 30
    assert any("30 rows" in line for line in lines)


def test_few_wait_and_none_outlives_the_night(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "AHEAD", 2)
    with Ahead(CHAIN) as coming:
        assert len(waiting()) == 2
        passed_over = coming.take("clean")
        assert passed_over is None
        assert len(waiting()) == 2, "those of ingest and sample have ended"
        coming.take("tune")
        assert wait_until(lambda: len(waiting()) == 1 or None, seconds=10, every=0.05), (
            "a search has the memory for itself"
        )
    assert waiting() == set()


def test_a_process_that_is_given_nothing_ends_quietly(home: Settings) -> None:
    process = StageProcess("sample")
    assert process.waits
    lines: list[str] = []
    process._process.stdin.close()  # type: ignore[union-attr]  # as the death of the parent does
    assert process.follow(lines.append) == 0
    assert lines == []


def test_an_operation_can_wait_too(home: Settings, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(Call(stage="monitor", spec={"probe_seconds": 0.5}).model_dump_json())
    process = StageProcess("monitor")
    process.begin(tmp_path / "request.json", {})
    assert process.follow(lambda line: None) == 0
    assert (tmp_path / "result.json").is_file()
