"""K12: a scheduler that was off for three nights runs one; a backfill run twice gives equal digests, nothing goes live.

On the way: a run that names a Param which the DAG does not have is refused when it is triggered.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import here
import pytest
from ports import free_ports
from typer.testing import CliRunner

from pipelines import settings as settings_module
from pipelines.artifacts import night_slug
from pipelines.cli.main import app
from pipelines.ledger import Ledger
from pipelines.local import inprocess
from pipelines.local.airflow_config import airflow_environment
from pipelines.local.demo_loans import simulate
from pipelines.local.platform import prepare_databases
from pipelines.registry.aliases import reconcile
from pipelines.registry.tracking import client
from pipelines.settings import Settings
from pipelines.stages import STOP
from pipelines.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
FULL = bool(os.environ.get("AIMASS_FULL"))
NIGHTS = 5 if FULL else 1
DAG = """
from aimass_airflow import ingest, retrain_dag
from pipelines.ingestion.spec import IngestSpec
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
with retrain_dag(MODEL, schedule="0 2 * * *", doc_md="# retrain_demo") as dag:
    ingest(IngestSpec(source="nowhere.csv"))
"""
KNOWN_WITH_LAST_RUN = """
import sys
from datetime import datetime
from airflow.__main__ import main
last, missed = map(datetime.fromisoformat, sys.argv[1:])
sys.argv = ["airflow", "dags", "reserialize"]
main()
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType, DagRunType

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
TRIGGER = """
import sys
from airflow.__main__ import main
for conf in sys.argv[1:]:
    sys.argv = ["airflow", "dags", "trigger", "retrain_demo", "--conf", conf]
    main()
"""
QUICK = {"tune__trials": 1, "tune__families": ["linear"], "evaluate__explain_rows": 50, "evaluate__plots": False}


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Airflow's own database, which knows one DAG of a night at 02:00 UTC and its run before the three last ones.

    Nothing of Airflow runs.
    """
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "dags").mkdir()
    (folder / "dags" / "retrain_demo.py").write_text(DAG)
    port = free_ports(1)[0]
    settings = settings_module.load(home=folder / "home", dags_folder=folder / "dags", airflow_port=port).ensure()
    environment = airflow_environment(settings, home=settings.airflow_home, dags=settings.dags, port=port)
    prepare_databases(settings, environment)
    now = datetime.now(UTC)
    due = now.replace(hour=2, minute=0, second=0, microsecond=0)
    due = due if due <= now else due - timedelta(days=1)
    before, missed = due - timedelta(days=3), due - timedelta(days=2)
    command = [sys.executable, "-c", KNOWN_WITH_LAST_RUN, before.isoformat(), missed.isoformat()]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    return SimpleNamespace(settings=settings, environment=environment, before=before, due=due)


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


def test_a_scheduler_that_was_off_for_three_nights_runs_the_last_alone(airflow: SimpleNamespace) -> None:
    settings, environment, before, due = airflow.settings, airflow.environment, airflow.before, airflow.due
    loops = [sys.executable, "-m", "airflow", "scheduler", "--skip-serve-logs"]
    with (settings.logs / "scheduler.log").open("wb") as log:
        scheduler = subprocess.Popen(loops, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            assert wait_until(lambda: len(scheduled(settings)) > 1 or None, seconds=90, every=0.5)
            after = f"{due + timedelta(days=1):%Y-%m-%d %H:%M}"  # not another missed one
            assert wait_until(lambda: next_night(settings) == after or None, seconds=30, every=0.5)
        finally:
            os.killpg(scheduler.pid, signal.SIGKILL)  # with its workers
            scheduler.wait()
    assert scheduled(settings) == [f"{before:%Y-%m-%d %H:%M}", f"{due:%Y-%m-%d %H:%M}"]


def test_a_wrong_param_name_is_refused_by_the_command_that_triggers(airflow: SimpleNamespace) -> None:
    both = [sys.executable, "-c", TRIGGER, '{"ingest__source": "x"}', '{"ingest__sorce": "x"}']
    refused = subprocess.run(both, env=airflow.environment, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode != 0
    assert (
        "retrain_demo has no param 'ingest__sorce', did you mean 'ingest__source'?" in refused.stdout + refused.stderr
    )
    with closing(sqlite3.connect(airflow.settings.airflow_home / "airflow.db")) as connection:
        query = "SELECT conf FROM dag_run WHERE run_type = 'manual'"
        assert [json.loads(conf) for (conf,) in connection.execute(query)] == [{"ingest__source": "x"}]


@pytest.fixture
def loans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The demo model, live since the newest night of its feed.

    In the short form nights run in this process, and the version of the first is live without a service.
    """
    if not FULL:
        monkeypatch.setattr(inprocess, "run_in_process", here.night)
    (tmp_path / "dags").mkdir()
    shutil.copy(ROOT / "dags" / "retrain_loans.py", tmp_path / "dags")
    (tmp_path / "expectations").symlink_to(ROOT / "expectations")
    for name, value in (("HOME", tmp_path / "home"), ("DAGS_FOLDER", tmp_path / "dags"), ("MLFLOW_PORT", "1024")):
        monkeypatch.setenv(f"AIMASS_{name}", str(value))
    settings = settings_module.load().ensure()
    simulate(settings.feed / "loans", date(2026, 1, 1), 30 + NIGHTS, rows_per_day=120)
    newest = datetime(2026, 1, 31, 2, tzinfo=UTC) + timedelta(days=NIGHTS)
    with (settings.logs / "first.log").open("wb") as log:
        params = QUICK if FULL else {**QUICK, STOP: True}
        inprocess.run_in_process(settings, tmp_path / "dags" / "retrain_loans.py", newest, params, log=log)
    if not FULL:
        with Ledger.open(settings) as ledger:
            ledger.switch("loans", 1, 0, "test", "test")
            assert reconcile(settings, ledger, "loans")
    return settings


def backfill(*words: str, code: int = 0) -> None:
    days = ["--from", "2026-01-31", "--to", f"{date(2026, 1, 30) + timedelta(days=NIGHTS)}"]
    params = [word for name, value in QUICK.items() for word in ("--param", f"{name}={json.dumps(value)}")]
    result = CliRunner().invoke(app, ["backfill", "loans", *days, "--local", *params, *words])
    assert result.exit_code == code, result.output


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
        if FULL:
            for night in first:  # so that nothing can be re-used
                shutil.rmtree(loans.storage / "nights" / "loans" / night_slug(night))
            backfill("--again")
        assert digests() == first
        assert len(ledger.nights("loans")) == 1 + NIGHTS
        assert (ledger.route("loans"), len(ledger.history("loans"))) == (live, switches)
        assert champion()["champion"] == aliases["champion"]
