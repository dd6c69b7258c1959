"""Old runs leave Airflow's database by Airflow's own command; new ones and the newest of each DAG stay."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.housekeeping.airflow_rows import clean, old_rows
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.local.airflow_config import airflow_environment
from pipelines.settings import Settings

SPEC = HousekeepingSpec(airflow_days=90)
NOW = datetime.now(UTC)
MAKE_RUNS = """
import sys
from datetime import datetime, timedelta, UTC
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.utils.db import upgradedb
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType, DagRunType

upgradedb()
with create_session() as session:
    for days in (1, 10, 100, 200, 300):
        moment = datetime.now(UTC) - timedelta(days=days)
        session.add(DagRun(
            dag_id="retrain_demo", run_id=f"scheduled__{days}", run_type=DagRunType.SCHEDULED, logical_date=moment,
            run_after=moment, start_date=moment, state="success", triggered_by=DagRunTriggeredByType.TIMETABLE,
        ))
        log = Log(event="trigger", dag_id="retrain_demo")
        log.dttm = moment
        session.add(log)
"""


def runs(settings: Settings) -> list[str]:
    with closing(sqlite3.connect(settings.airflow_home / "airflow.db")) as connection:
        return sorted(name for (name,) in connection.execute("SELECT run_id FROM dag_run"))


def test_a_home_without_airflow_has_nothing_to_clean(home: Settings) -> None:
    assert list(old_rows(home, SPEC, NOW)) == []


@pytest.mark.slow
def test_old_rows_are_counted_and_removed(home: Settings) -> None:
    environment = airflow_environment(home, home=home.airflow_home, dags=home.dags)
    subprocess.run([sys.executable, "-c", MAKE_RUNS], env=environment, check=True, capture_output=True, timeout=120)
    (item,) = old_rows(home, SPEC, NOW)
    assert item.what.startswith("airflow.db: 3 runs with their tasks, 3 events")
    assert "90 days" in item.why
    assert item.remove()
    assert runs(home) == ["scheduled__1", "scheduled__10"]
    assert list(old_rows(home, SPEC, NOW)) == []
    assert clean(home, NOW - timedelta(days=365))
