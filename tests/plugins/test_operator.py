"""The stage operator with real stages on a small table, and what it records."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aimass_airflow import call, connections, stage_process
from aimass_airflow.call import TransientStageError
from aimass_airflow.operator import StageOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException
from structlog.testing import capture_logs

from pipelines.artifacts import night_slug
from pipelines.errors import AimassError, DataError, SpecError
from pipelines.ingestion.files.sources import SourceAwayError
from pipelines.ingestion.spec import IngestSpec, Sql
from pipelines.ledger import Ledger
from pipelines.packaging.spec import PackageSpec
from pipelines.sampling.spec import SampleSpec
from pipelines.settings import Settings
from pipelines.spec import ModelSpec, Spec
from pipelines.tuning.spec import TuneSpec

pytestmark = pytest.mark.slow

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
NIGHT = "manual__2026-03-01T02:00:00+00:00"


def context(attempt: int = 1, **params: Any) -> Any:
    moment = datetime(2026, 3, 1, 2, tzinfo=UTC)
    return {
        "dag_run": SimpleNamespace(run_id=NIGHT, logical_date=None, run_after=moment),
        "ti": SimpleNamespace(try_number=attempt),
        "params": params,
        "dag": SimpleNamespace(fileloc=__file__),
    }


def test_a_run_dated_in_the_future_is_refused(home: Settings) -> None:
    late = {**context(), "dag_run": SimpleNamespace(run_id=NIGHT, logical_date=datetime(2999, 1, 1, tzinfo=UTC))}
    with pytest.raises(SpecError, match="a night of the future"):
        task("ingest", IngestSpec(source="x")).execute(late)
    assert Ledger.open(home).nights("demo") == []


def task(stage: str, spec: Spec, **inputs: Any) -> StageOperator:
    return StageOperator(task_id=stage, stage=stage, spec=spec, inputs=inputs, model=MODEL)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("id,amount,label\n" + "".join(f"{n},{n * 3},{'yes' if n % 3 else 'no'}\n" for n in range(300)))
    return path


def test_a_stage_gets_the_connections_that_its_spec_names(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = sqlite3.connect(tmp_path / "rows.db")
    database.execute("CREATE TABLE rows (id INTEGER, label TEXT)")
    database.executemany("INSERT INTO rows VALUES (?, ?)", [(n, "yes" if n % 3 else "no") for n in range(50)])
    database.commit()
    database.close()
    address = f"sqlite:///{tmp_path}/rows.db"
    spec = IngestSpec(source=Sql(query="SELECT * FROM rows", connection="lake"))
    assert connections.connections_of(SampleSpec()) == {}
    monkeypatch.setattr(connections, "_from_airflow", {"lake": address}.get)
    assert connections.connections_of(spec) == {"AIRFLOW_CONN_LAKE": address}
    assert task("ingest", spec).execute(context())["rows"] == 50
    monkeypatch.setattr(connections, "_from_airflow", {}.get)
    with pytest.raises(SpecError, match="connection is not known"):
        task("ingest", spec.model_copy(update={"seal_share": 0.2})).execute(context(attempt=2))
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", address)
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "sqlite://")
    assert connections.connections_of(spec) == {"AIRFLOW_CONN_LAKE": address}


def test_two_stages_pass_a_plain_ref(home: Settings, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
    raw = task("ingest", IngestSpec(source=str(source))).execute(context())
    assert type(raw) is dict
    assert json.loads(json.dumps(raw)) == raw
    assert raw["rows"] == 300
    asked = context(sample__fraction=0.5, deploy__stop_before=False, tune__trials=None)
    sampled = task("sample", SampleSpec(), raw=raw).execute(asked)
    assert sampled["rows"] < 300
    ledger = Ledger.open(home)
    night = ledger.night("demo", NIGHT)
    assert (night.state, night.source, night.as_of.isoformat()) == ("running", "local", "2026-03-01T02:00:00+00:00")
    rows = {row.stage: row for row in ledger.stages("demo", NIGHT)}
    assert rows["sample"].spec["fraction"] == 0.5, "the effective spec is what is recorded"
    assert [rows[name].fence for name in ("ingest", "sample")] == [1, 2]
    request = json.loads((home.calls / "demo" / night_slug(NIGHT) / "sample-1" / "request.json").read_text())
    assert request["night"]["fence"] == 2
    assert request["inputs"]["raw"]["digest"] == raw["digest"]


def test_typed_error_is_raised_again_and_recorded(home: Settings) -> None:
    with pytest.raises(DataError, match="no source file") as caught:
        task("ingest", IngestSpec(source="/nowhere/x.csv")).execute(context())
    assert caught.value.cure
    row = Ledger.open(home).stages("demo", NIGHT)[0]
    assert (row.state, row.error["kind"]) == ("failed", "DataError")


def test_a_source_that_is_away_is_tried_again_and_says_what_to_do(tmp_path: Path) -> None:
    away = SourceAwayError("a database does not respond", where="connection 'lake'", cure="start it")
    (tmp_path / "error.json").write_text(json.dumps(away.to_dict()))
    error = call._error("ingest", tmp_path, away.exit_code)
    assert isinstance(error, TransientStageError)
    assert not isinstance(error, AimassError)
    assert "connection 'lake'" in str(error)
    assert "cure: start it" in str(error)


def test_killed_stage_is_transient_and_the_next_attempt_goes_on(
    home: Settings, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer = tmp_path / "killed"
    burning = "import time; held = bytearray(90_000_000)\nwhile time.process_time() < 0.5: pass"
    killer.write_text(f'#!/bin/sh\n"{sys.executable}" -S -c "{burning}"\nsleep 0.3\nkill -9 $$\n')
    killer.chmod(0o700)
    with monkeypatch.context() as patched:
        patched.setattr(stage_process, "LOOK_SECONDS", 0.1)
        patched.setattr(stage_process.sys, "executable", str(killer))
        with pytest.raises(TransientStageError, match="signal 9"):
            task("ingest", IngestSpec(source=str(source))).execute(context())
    ledger = Ledger.open(home)
    assert ledger.stages("demo", NIGHT)[0].error["kind"] == "transient"
    assert task("ingest", IngestSpec(source=str(source))).execute(context(attempt=2))["rows"] == 300
    row = ledger.stages("demo", NIGHT)[0]
    assert (row.state, row.attempt, row.fence) == ("done", 2, 2)
    killed, done = ledger.task_usage("demo", NIGHT)
    assert (killed.state, killed.fence, done.state, done.fence) == ("failed", 1, "done", 2)
    assert killed.cpu_seconds > 0.4, "what was killed cost something, too"
    assert killed.peak_memory > 90e6
    assert done.cpu_seconds > 0.1


def test_lines_of_a_stage_are_fields_of_airflows_log(
    home: Settings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMASS_LOG_FORMAT", "json")
    with capture_logs() as lines:
        task("ingest", IngestSpec(source=str(source))).execute(context())
    told = [line for line in lines if line.get("stage") == "ingest"]
    assert told
    assert {(line["run_id"], line["model"], line["log_level"]) for line in told} == {(NIGHT, "demo", "info")}


@pytest.mark.parametrize(
    ("params", "named"), [({"smaple__fraction": 0.5}, "smaple__fraction"), ({"tune__trials": 0}, "trials")]
)
def test_wrong_param_of_any_stage_stops_the_first_one(
    home: Settings, source: Path, params: dict[str, Any], named: str
) -> None:
    with DAG(dag_id="retrain_demo", schedule=None):
        first = task("ingest", IngestSpec(source=str(source)))
        task("tune", TuneSpec())
    with pytest.raises(SpecError) as caught:
        first.execute(context(**params))
    assert named in str(caught.value)
    (row,) = Ledger.open(home).stages("demo", NIGHT)
    assert (row.stage, row.state, row.error) == ("ingest", "failed", caught.value.to_dict())
    assert not any(home.calls.iterdir()), "nothing was started"


def version(verdict: str) -> dict[str, Any]:
    return {"uri": "x", "digest": "d", "stage": "register", "rows": None, "meta": {"version": 3, "verdict": verdict}}


@pytest.mark.parametrize(
    ("verdict", "params", "reason"),
    [
        ("kept", {}, "version 3 is kept, not promoted: no version is live"),
        ("promoted", {"deploy__stop_before": True}, "version 3 is registered; this run was asked to stop"),
    ],
)
def test_the_release_is_skipped_visibly_and_the_night_is_a_success(
    home: Settings, verdict: str, params: dict[str, Any], reason: str
) -> None:
    with pytest.raises(AirflowSkipException, match=reason):
        task("configure", PackageSpec(), register=version(verdict)).execute(context(**params))
    ledger = Ledger.open(home)
    night = ledger.night("demo", NIGHT)
    assert night.state == "success"
    assert night.verdict["deployed"] is False
    assert night.verdict["note"].startswith(reason)
    assert ledger.stages("demo", NIGHT) == []


def test_the_night_of_an_archived_model_is_skipped_and_not_recorded(home: Settings) -> None:
    with Ledger.open(home) as ledger:
        ledger.remember_model(MODEL)
        ledger.archive_model("demo", True, actor="ada", why="replaced by another")
        with pytest.raises(AirflowSkipException, match="by ada: replaced by another; aimass catalog unarchive demo"):
            task("ingest", IngestSpec(source="x")).execute(context())
        assert ledger.nights("demo") == []


def test_task_outside_a_model_says_so(home: Settings) -> None:
    lost = StageOperator(task_id="ingest", stage="ingest", spec=IngestSpec(source="x"), inputs={})
    with pytest.raises(AimassError, match="belongs to no model"):
        lost.execute(context())


def test_spec_is_neither_template_nor_serialised() -> None:
    operator = task("ingest", IngestSpec(source="/secret/place.csv"))
    assert operator.template_fields == ("inputs",)
    assert "spec" not in operator.get_serialized_fields()
    assert operator.pool == "heavy"
    assert task("package", PackageSpec(), register=version("kept")).pool != "heavy"


def test_on_kill_ends_the_stage(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o700)
    monkeypatch.setattr(stage_process.sys, "executable", str(sleeper))
    monkeypatch.setattr(stage_process, "GRACE_SECONDS", 0.3)
    operator = task("ingest", IngestSpec(source="x"))
    failure: list[BaseException] = []

    def work() -> None:
        try:
            operator.execute(context())
        except BaseException as error:  # noqa: BLE001 - looked at below
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 10
    while operator._process is None and time.monotonic() < deadline:
        time.sleep(0.05)
    operator.on_kill()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(failure[0], TransientStageError)
