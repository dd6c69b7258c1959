"""What is old goes; what is live, kept, referred to or fresh stays."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from calls import operate

from pipelines.__main__ import main
from pipelines.artifacts import Night, night_slug
from pipelines.housekeeping.retention import tidy
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ingestion.history.store import History
from pipelines.ledger import Ledger
from pipelines.locks import deletion_lock, wait_for_lock
from pipelines.settings import Settings
from pipelines.storage import write_table

SOON = datetime.now(UTC) + timedelta(days=2)
SPEC = HousekeepingSpec(nights=2)


@pytest.fixture(autouse=True)
def temporary(own_temporary: Path) -> Path:
    return own_temporary


@pytest.fixture
def lived_in(home: Settings, make_night: Callable[..., Night]) -> Settings:
    """Five nights; the first one's version is live, the fifth re-uses a result of the second."""
    ledger = Ledger.open(home)
    for number in range(1, 6):
        name = f"night-{number}"
        ledger.open_night(make_night(name), "local")
        for stage in ("ingest", "clean"):
            owner = "night-2" if (number, stage) == (5, "ingest") else name
            uri = f"nights/demo/{night_slug(owner)}/{stage}-1"
            (home.storage / uri).mkdir(parents=True, exist_ok=True)
            (home.storage / uri / "part").write_text("x")
            fence = ledger.begin_stage("demo", name, stage)
            ref = {"uri": uri, "digest": "d", "stage": stage, "rows": None, "meta": {}}
            ledger.finish_stage("demo", name, stage, fence, state="done", ref=ref)
        (home.calls / "demo" / night_slug(name)).mkdir(parents=True)
        ledger.close_night("demo", name, "success")
    ledger.reserve("demo", "night-1", 9)
    ledger.assign_version("demo", "night-1", 9)
    ledger.switch("demo", 1, 0, "test", "test")
    ledger.close()
    return home


def left(home: Settings) -> set[str]:
    folder = home.storage / "nights" / "demo"
    slugs = {night_slug(f"night-{number}"): str(number) for number in range(1, 6)}
    return {f"{slugs[path.parent.name]}/{path.name}" for path in folder.glob("*/*")}


def test_old_nights_go_but_what_is_live_or_referred_to_stays(lived_in: Settings) -> None:
    report = tidy(lived_in, SPEC, now=SOON)
    assert left(lived_in) == {"1/ingest-1", "1/clean-1", "2/ingest-1", "4/ingest-1", "4/clean-1", "5/clean-1"}
    assert (report.results, report.calls, report.waiting) == (3, 2, ())
    assert not (lived_in.storage / "nights" / "demo" / night_slug("night-3")).exists()
    assert list(lived_in.staging.iterdir()) == []
    again = tidy(lived_in, SPEC, now=SOON)
    assert (again.results, again.calls) == (0, 0)


def test_what_was_read_is_never_old(lived_in: Settings) -> None:
    kept = History(lived_in, "demo", "orders")
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    kept.add(lambda folder: write_table(pa.table({"n": [1]}), folder), as_of=long_ago)
    kept.looked(long_ago)
    tidy(lived_in, SPEC, now=SOON + timedelta(days=4000))
    assert len(kept.tables(long_ago)) == 1


def test_what_tasks_took_is_forgotten_but_not_of_nights_with_a_version(lived_in: Settings) -> None:
    took = {"cpu_seconds": 2.0, "gpu_seconds": 0.0, "peak_memory": 5, "bytes_read": 1, "bytes_written": 1}
    with Ledger.open(lived_in) as ledger:
        for night in ("night-1", "night-2"):
            ledger.add_task_usage("tune", state="done", seconds=4.0, usage=took, model="demo", night=night, fence=1)
        ledger.add_task_usage("monitor", state="done", seconds=1.0, usage=took)
        assert tidy(lived_in, SPEC, now=SOON + timedelta(days=397)).usage == 0
        report = tidy(lived_in, HousekeepingSpec(dry_run=True), now=SOON + timedelta(days=400))
        assert [each.what for each in report.items if each.kind == "usage"] == ["ledger: what 2 tasks took"]
        assert len(ledger.task_usage("demo")) == 2
        assert tidy(lived_in, SPEC, now=SOON + timedelta(days=400)).usage == 1
        assert [row.night for row in ledger.task_usage("demo")] == ["night-1"], "its version has a cost"
        assert [row.stage for row in ledger.newest_task_usage()] == ["tune"]


def test_nothing_is_deleted_while_a_backup_reads(lived_in: Settings) -> None:
    names = [path.name for path in (lived_in.storage / "nights" / "demo").iterdir()]
    with ThreadPoolExecutor(1) as pool:
        with deletion_lock(lived_in.run_dir):
            going = pool.submit(tidy, lived_in, SPEC, now=SOON)
            with pytest.raises(TimeoutError):
                going.result(0.5)
            assert [path.name for path in (lived_in.storage / "nights" / "demo").iterdir()] == names
        assert going.result(30).results == 3


def test_nothing_fresh_is_touched(lived_in: Settings) -> None:
    before = left(lived_in)
    assert tidy(lived_in, SPEC).results == 0
    assert left(lived_in) == before


def test_a_model_whose_night_runs_is_left_alone(lived_in: Settings, make_night: Callable[..., Night]) -> None:
    Ledger.open(lived_in).open_night(make_night("night-6"), "local")
    before = left(lived_in)
    for path in (lived_in.storage / "nights").rglob("*"):
        os.utime(path, (0, 0))
    assert tidy(lived_in, SPEC).waiting == ("demo",)
    assert left(lived_in) == before


def test_leftovers_and_old_logs_go(home: Settings) -> None:
    def folder(path: Path, age_days: float = 0) -> Path:
        path.mkdir(parents=True)
        moment = SOON.timestamp() - age_days * 86_400
        os.utime(path, (moment, moment))
        return path

    days = {age: (SOON - timedelta(days=age)).date().isoformat() for age in (5, 40)}
    keep = [
        folder(home.storage / "predictions" / "demo" / days[5]),
        folder(home.storage / "predictions" / "demo" / "notes"),
        folder(home.airflow_home / "logs" / "dag_id=demo" / "run_id=new", 5),
        folder(home.staging / "at-work", 0.1),
    ]
    go = [
        folder(home.storage / "predictions" / "demo" / days[40]),
        folder(home.airflow_home / "logs" / "dag_id=demo" / "run_id=old", 40),
        folder(home.storage / "task_logs" / "dag_id=demo" / "run_id=old", 40),
        folder(home.staging / "killed", 2),
    ]
    report = tidy(home, now=SOON)
    assert (report.logs, report.staging) == (3, 1)
    assert all(path.is_dir() for path in keep)
    assert not any(path.exists() for path in go)


def test_command_reports_on_stderr(
    home: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert operate(tmp_path, "housekeeping", nights=3) == 0
    assert json.loads((tmp_path / "result.json").read_bytes())["stats"]["waiting"] == []
    assert operate(tmp_path, "housekeeping", nigths=3) == 20
    assert capsys.readouterr().out == ""
    assert "nigths" in caplog.text
    assert main(["housekeeping"]) == 0, "by hand it needs no request"


def test_a_temporary_folder_in_use_stays_however_old_it_is(home: Settings, temporary: Path) -> None:
    served, locked, left = (temporary / f"aimass-{name}" for name in ("sockets", "ray-runs", "sockets-left"))
    for folder in (served, locked, left):
        folder.mkdir()
    with socket.socket(socket.AF_UNIX) as live, wait_for_lock(locked / ".in-use"):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(left / "s"))
        live.bind(str(served / "s"))
        live.listen()
        for folder in (served, locked, left):
            os.utime(folder, (0, 0))
        assert tidy(home).temporary == 1
    assert sorted(temporary.iterdir()) == [locked, served]


@pytest.mark.skipif(os.geteuid() != 0, reason="another network takes root")
def test_a_socket_of_another_network_is_in_use_too(home: Settings, temporary: Path) -> None:
    (folder := temporary / "aimass-sockets").mkdir()
    program = (
        "import socket, sys; live = socket.socket(socket.AF_UNIX); live.bind(sys.argv[1]); live.listen();"
        "print('bound', flush=True); sys.stdin.read()"
    )
    command = ["unshare", "--net", sys.executable, "-c", program, str(folder / "s")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"bound\n"
        os.utime(folder, (0, 0))
        assert tidy(home).temporary == 0
        other.communicate()
    os.utime(folder, (0, 0))
    assert tidy(home).temporary == 1


def test_what_killed_processes_left_in_temporary_folders_goes(home: Settings, temporary: Path) -> None:
    old, fresh, foreign = (temporary / name for name in ("aimass-ray-old", "aimass-ray-fresh", "other-old"))
    for path in (old, fresh, foreign):
        (path / "session").mkdir(parents=True)
    for path in (old, foreign):
        os.utime(path, (0, 0))
    assert tidy(home).temporary == 1
    assert not old.exists()
    assert fresh.exists()
    assert foreign.exists()


def test_a_dry_run_lists_with_size_and_reason_and_removes_nothing(lived_in: Settings) -> None:
    before = left(lived_in)
    looked = tidy(lived_in, HousekeepingSpec(nights=2, dry_run=True), now=SOON)
    assert left(lived_in) == before
    assert (looked.dry_run, looked.results, looked.calls) == (True, 3, 2)
    for item in looked.items:
        assert item.why
        assert (lived_in.home / item.what).exists()
    assert sum(item.bytes for item in looked.items if item.kind == "results") == 3
    done = tidy(lived_in, SPEC, now=SOON)
    assert [item.what for item in done.items] == [item.what for item in looked.items]
    assert looked.size == done.size


def test_what_no_version_names_goes_and_what_one_names_stays(lived_in: Settings) -> None:
    with Ledger.open(lived_in) as ledger:
        ledger.advance("demo", "night-1", 9, model_uri="models/demo/kept", bento_uri="demo:v1-kept")
    models, bentos = lived_in.storage / "models" / "demo", lived_in.bentoml_home / "bentos" / "demo"
    for folder in (models / "kept", models / "orphan", bentos / "v1-kept", bentos / "v9-orphan", bentos / "by-hand"):
        folder.mkdir(parents=True)
    assert tidy(lived_in, SPEC, now=SOON).orphans == 2
    assert {path.name for path in (*models.iterdir(), *bentos.iterdir())} == {"kept", "v1-kept", "by-hand"}


def test_logs_of_services_that_are_gone_go(lived_in: Settings) -> None:
    with Ledger.open(lived_in) as ledger:
        ledger.want("demo", 1, "serve")
    logs = [lived_in.logs / f"bento-demo-v{name}.log" for name in ("1", "1-2", "12", "7")]
    for path in (*logs, lived_in.logs / "gateway.log", lived_in.logs / "bento-demo-v12.log.1"):
        path.write_text("x")
    tidy(lived_in, SPEC, now=SOON + timedelta(days=40))
    assert sorted(path.name for path in lived_in.logs.iterdir() if path.name != "alerts.log") == [
        "bento-demo-v1-2.log",
        "bento-demo-v1.log",
        "gateway.log",
    ]


def test_one_thing_that_cannot_be_removed_keeps_no_other(
    lived_in: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.housekeeping import items

    real = items.os.rename

    def refuses(source: Path, target: Path) -> None:
        if "clean-1" in str(source):
            raise PermissionError(13, "denied", str(source))
        real(source, target)

    monkeypatch.setattr(items.os, "rename", refuses)
    report = tidy(lived_in, SPEC, now=SOON)
    assert (report.results, len(report.failed)) == (1, 2)
    assert all("PermissionError" in line for line in report.failed)


def test_a_database_that_cannot_be_read_is_told_and_the_rest_is_tidied(lived_in: Settings) -> None:
    lived_in.airflow_home.mkdir(parents=True, exist_ok=True)
    (lived_in.airflow_home / "airflow.db").touch()
    report = tidy(lived_in, SPEC, now=SOON)
    (fault,) = report.failed
    assert fault.startswith("airflow the database of airflow: OperationalError")
    assert report.results > 0
