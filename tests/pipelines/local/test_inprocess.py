"""A night without the platform: real DAG file, private Airflow database, shared ledger."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from aimass_airflow.one_night import lock_of

from pipelines.artifacts import Night
from pipelines.errors import AimassError, DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.local import inprocess
from pipelines.local.inprocess import night_of, run_in_process
from pipelines.local.progress import Transition
from pipelines.locks import wait_for_lock
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

pytestmark = pytest.mark.slow

DAG = """
from aimass_airflow import clean, ingest, retrain_dag, sample

from pipelines.cleaning.spec import CleanSpec
from pipelines.ingestion.spec import IngestSpec
from pipelines.sampling.spec import SampleSpec
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
with retrain_dag(MODEL, doc_md="# demo") as dag:
    clean(CleanSpec(rules=dict(rare="amount > 800")), sample(SampleSpec(), ingest(IngestSpec(source={source!r}))))
"""
AT = datetime(2026, 3, 1, 2, tzinfo=UTC)


@pytest.fixture
def dag_file(tmp_path: Path) -> Path:
    rows = tmp_path / "rows.csv"
    rows.write_text("id,amount,label\n" + "".join(f"{n},{n * 3},{'yes' if n % 3 else 'no'}\n" for n in range(300)))
    path = tmp_path / "dags" / "retrain_demo.py"
    path.parent.mkdir()
    path.write_text(DAG.format(source=str(rows)))
    return path


def test_night_with_params_and_its_error(
    home: Settings,
    dag_file: Path,
    capfd: pytest.CaptureFixture[str],
    crowded_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(crowded_folder)
    seen: list[Transition] = []
    moment = datetime(2026, 3, 5, 12, tzinfo=UTC)
    with (dag_file.parent / "log").open("wb") as log, pytest.raises(DataError, match="break a rule"):
        run_in_process(home, dag_file, AT, {"sample__fraction": 0.5}, run_after=moment, log=log, tell=seen.append)
    assert [(change.stage, change.state) for change in seen] == [
        ("ingest", "running"),
        ("ingest", "success"),
        ("sample", "running"),
        ("sample", "success"),
        ("clean", "running"),
        ("clean", "failed"),
    ]
    ledger = Ledger.open(home)
    row = ledger.night("demo", night_of(moment))
    assert (row.state, row.source, row.as_of, row.params) == ("failed", "local", AT, {"sample__fraction": 0.5})
    assert ledger.stages("demo", row.night)[1].rows < 300
    assert (dag_file.parent / "log").stat().st_size > 0
    assert "failed in clean" in ledger.alerts()[0].message
    assert capfd.readouterr().out == "", "stdout is for results"
    assert not list(home.run_dir.glob("local-*"))
    assert not list(home.airflow_home.glob("*.db")), "the private database is gone"


def test_a_second_night_of_the_model_is_refused_by_name(home: Settings, dag_file: Path) -> None:
    with Ledger.open(home) as ledger:
        first = Night(model=ModelSpec(name="demo", task="regression", target="y"), night="manual__first", as_of=AT)
        ledger.open_night(first, "local")
        with wait_for_lock(lock_of(home, "demo")), pytest.raises(AimassError, match="another night") as caught:
            run_in_process(home, dag_file, AT)
        assert caught.value.seen == "manual__first"
        assert [row.night for row in ledger.nights("demo")] == ["manual__first"]


def test_wrong_spec_in_the_file_is_one_clear_error(
    home: Settings, dag_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dag_file.write_text(dag_file.read_text().replace("SampleSpec()", "SampleSpec(fraction=7, colour=1)"))
    with pytest.raises(SpecError) as caught:
        run_in_process(home, dag_file, AT)
    assert "fraction" in str(caught.value)
    assert "colour" in str(caught.value)
    assert Ledger.open(home).nights("demo") == []


@pytest.mark.fault
def test_a_killed_command_takes_its_night_along(tmp_path: Path) -> None:
    night = "import os, sys, time; from pipelines.parent_watch import watch_parent;"
    night += "watch_parent(); open(sys.argv[1], 'w').write(str(os.getpid()));"
    night += "time.sleep(120)"
    command = "import os, sys; from pipelines.local.inprocess import _run;"
    command += "_run([sys.executable, '-c', sys.argv[1], sys.argv[2]], os.environ, None, lambda: None)"
    told = tmp_path / "pid"
    killed = subprocess.Popen([sys.executable, "-c", command, night, str(told)])
    deadline = time.monotonic() + 60
    while not (told.exists() and told.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = psutil.Process(int(told.read_text()))
    killed.kill()
    killed.wait()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_missing_file(home: Settings, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such DAG file"):
        run_in_process(home, tmp_path / "retrain_nope.py")


def test_child_that_dies_is_an_error(home: Settings, dag_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprocess, "_run", lambda *_: -9)
    with pytest.raises(AimassError, match="without a result") as caught:
        run_in_process(home, dag_file)
    assert caught.value.seen == "signal 9"
