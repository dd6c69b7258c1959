"""K12: a scheduler that was off for three nights runs one; a backfill run twice gives equal digests, nothing goes live.

On the way: a run that names a Param which the DAG does not have is refused when it is triggered.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from ports import free_ports
from typer.testing import CliRunner

from pipelines import settings as settings_module
from pipelines.artifacts import night_slug
from pipelines.cli.main import app
from pipelines.ledger import Ledger
from pipelines.local.airflow_config import airflow_environment
from pipelines.local.demo_loans import simulate
from pipelines.local.inprocess import run_in_process
from pipelines.local.platform import prepare_databases
from pipelines.registry.tracking import client
from pipelines.settings import Settings
from pipelines.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
NIGHTS = 5
DAG = """
from aimass_airflow import ingest, retrain_dag
from pipelines.ingestion.spec import IngestSpec
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
with retrain_dag(MODEL, schedule="0 2 * * *", doc_md="# retrain_demo") as dag:
    ingest(IngestSpec(source="nowhere.csv"))
"""
LAST_RUN = """
import sys
from datetime import datetime
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType, DagRunType

last, missed = map(datetime.fromisoformat, sys.argv[1:])
with create_session() as session:
    session.add(DagRun(
        dag_id="retrain_demo", run_id=f"scheduled__{last.isoformat()}", run_type=DagRunType.SCHEDULED,
        logical_date=last, data_interval=(last, last), run_after=last, start_date=last, state="success",
        triggered_by=DagRunTriggeredByType.TIMETABLE,
    ))
    model = session.get(DagModel, "retrain_demo")
    model.next_dagrun, model.next_dagrun_create_after = missed, missed
    model.next_dagrun_data_interval = (missed, missed)
"""
QUICK = {"tune__trials": 1, "tune__families": ["linear"], "evaluate__explain_rows": 50, "evaluate__plots": False}


@pytest.fixture
def airflow(tmp_path: Path) -> Iterator[tuple[Settings, dict[str, str]]]:
    """Airflow's own database, which knows one DAG of a night at 02:00 UTC; nothing of Airflow runs."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "retrain_demo.py").write_text(DAG)
    port = free_ports(1)[0]
    settings = settings_module.load(home=tmp_path / "home", dags_folder=tmp_path / "dags", airflow_port=port).ensure()
    environment = airflow_environment(settings, home=settings.airflow_home, dags=settings.dags, port=port)
    prepare_databases(settings, environment)
    parse = [sys.executable, "-m", "airflow", "dags", "reserialize"]
    subprocess.run(parse, env=environment, check=True, capture_output=True, timeout=120)
    return settings, environment


def scheduled(settings: Settings) -> list[str]:
    """Return the dates of all scheduled runs."""
    with closing(sqlite3.connect(settings.airflow_home / "airflow.db", timeout=30)) as connection:
        query = "SELECT logical_date FROM dag_run WHERE run_type = 'scheduled' ORDER BY logical_date"
        return [str(day)[:16] for (day,) in connection.execute(query)]


def next_night(settings: Settings) -> str:
    """Return the moment at which Airflow will make the next run."""
    with closing(sqlite3.connect(settings.airflow_home / "airflow.db", timeout=30)) as connection:
        (moment,) = connection.execute("SELECT next_dagrun_create_after FROM dag").fetchone()
        return str(moment)[:16]


def test_a_scheduler_that_was_off_for_three_nights_runs_the_last_alone(
    airflow: tuple[Settings, dict[str, str]],
) -> None:
    settings, environment = airflow
    now = datetime.now(UTC)
    due = now.replace(hour=2, minute=0, second=0, microsecond=0)
    due = due if due <= now else due - timedelta(days=1)
    before, missed = due - timedelta(days=3), due - timedelta(days=2)
    command = [sys.executable, "-c", LAST_RUN, before.isoformat(), missed.isoformat()]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    loops = [sys.executable, "-m", "airflow", "scheduler", "--skip-serve-logs"]
    with (settings.logs / "scheduler.log").open("wb") as log:
        scheduler = subprocess.Popen(loops, env=environment, stdout=log, stderr=log)
        try:
            assert wait_until(lambda: len(scheduled(settings)) > 1 or None, seconds=90, every=0.5)
            after = f"{due + timedelta(days=1):%Y-%m-%d %H:%M}"  # not another missed one
            assert wait_until(lambda: next_night(settings) == after or None, seconds=30, every=0.5)
        finally:
            scheduler.kill()
            scheduler.wait()
    assert scheduled(settings) == [f"{before:%Y-%m-%d %H:%M}", f"{due:%Y-%m-%d %H:%M}"]


def test_a_wrong_param_name_is_refused_by_the_command_that_triggers(airflow: tuple[Settings, dict[str, str]]) -> None:
    settings, environment = airflow
    command = [sys.executable, "-m", "airflow", "dags", "trigger", "retrain_demo", "--conf"]

    def triggered(conf: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, conf], env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    refused = triggered('{"ingest__sorce": "x"}')
    assert refused.returncode != 0
    assert (
        "retrain_demo has no param 'ingest__sorce', did you mean 'ingest__source'?" in refused.stdout + refused.stderr
    )
    assert triggered('{"ingest__source": "x"}').returncode == 0
    with closing(sqlite3.connect(settings.airflow_home / "airflow.db")) as connection:
        assert connection.execute("SELECT count(*) FROM dag_run").fetchone() == (1,)


@pytest.fixture
def loans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The demo model, live since the newest night of its feed."""
    (tmp_path / "dags").mkdir()
    shutil.copy(ROOT / "dags" / "retrain_loans.py", tmp_path / "dags")
    (tmp_path / "expectations").symlink_to(ROOT / "expectations")
    for name, value in (("HOME", tmp_path / "home"), ("DAGS_FOLDER", tmp_path / "dags"), ("MLFLOW_PORT", "1024")):
        monkeypatch.setenv(f"AIMASS_{name}", str(value))
    settings = settings_module.load().ensure()
    simulate(settings.feed / "loans", date(2026, 1, 1), 30 + NIGHTS, rows_per_day=120)
    newest = datetime(2026, 1, 31, 2, tzinfo=UTC) + timedelta(days=NIGHTS)
    with (settings.logs / "first.log").open("wb") as log:
        run_in_process(settings, tmp_path / "dags" / "retrain_loans.py", newest, QUICK, log=log)
    return settings


def backfill(*words: str, code: int = 0) -> None:
    days = ["--from", "2026-01-31", "--to", f"{date(2026, 1, 30) + timedelta(days=NIGHTS)}"]
    params = [word for name, value in QUICK.items() for word in ("--param", f"{name}={json.dumps(value)}")]
    result = CliRunner().invoke(app, ["backfill", "loans", *days, "--local", *params, *words])
    assert result.exit_code == code, result.output


@pytest.mark.skipif(not os.environ.get("AIMASS_FULL"), reason="eleven nights; tests/e2e backfills one, twice")
@pytest.mark.timeout(1800)
def test_a_backfill_run_twice_gives_equal_digests_and_moves_nothing(
    loans: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with Ledger.open(loans) as ledger:

        def digests() -> dict[str, str]:
            return {row.night: row.model_digest for row in ledger.versions("loans") if row.version > 1}

        def champion() -> dict[str, str]:
            return {name: str(number) for name, number in client(loans).get_registered_model("loans").aliases.items()}

        live, switches, aliases = ledger.route("loans"), len(ledger.history("loans")), champion()
        assert live == 1
        backfill("--dry-run")
        assert capfd.readouterr().out.count("no night") == NIGHTS
        backfill()
        first = digests()
        assert len(first) == NIGHTS
        assert [row.as_of.date() for row in ledger.versions("loans")[1:]] == [
            date(2026, 1, 31) + timedelta(days=number) for number in range(NIGHTS)
        ], "in order"
        capfd.readouterr()
        backfill()
        assert capfd.readouterr().out.count("is there") == NIGHTS, "what is there is not run again"
        for night in first:  # so that nothing can be re-used
            shutil.rmtree(loans.storage / "nights" / "loans" / night_slug(night))
        backfill("--again")
        assert digests() == first
        assert len(ledger.nights("loans")) == 1 + NIGHTS
        assert (ledger.route("loans"), len(ledger.history("loans"))) == (live, switches)
        assert champion()["champion"] == aliases["champion"]
