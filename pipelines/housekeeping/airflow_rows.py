"""Old rows of Airflow's own database: counted here, removed by Airflow's own ``airflow db clean``."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial

from pipelines.errors import AimassError
from pipelines.housekeeping.items import Item
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.local.airflow_config import airflow_environment
from pipelines.settings import Settings

SECONDS = 600
COUNT = """
SELECT (SELECT count(*) FROM dag_run AS r WHERE start_date < :before AND EXISTS
(SELECT 1 FROM dag_run AS later WHERE later.dag_id = r.dag_id AND later.start_date > r.start_date)),
(SELECT count(*) FROM log WHERE dttm < :before), (SELECT count(*) FROM job WHERE latest_heartbeat < :before)
"""


def old_rows(settings: Settings, spec: HousekeepingSpec, now: datetime) -> Iterator[Item]:
    """Yield what is too old in the database of this home's Airflow; one elsewhere is its owner's to clean."""
    path = settings.airflow_home / "airflow.db"
    if not path.is_file():
        return
    before = (now - timedelta(days=spec.airflow_days)).replace(microsecond=0)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        runs, events, jobs = connection.execute(COUNT, {"before": f"{before:%Y-%m-%d %H:%M:%S}"}).fetchone()
    if runs or events or jobs:
        what = f"airflow.db: {runs} runs with their tasks, {events} events, {jobs} jobs"
        why = f"older than {spec.airflow_days} days; the space is used again"
        yield Item("airflow", what, 0, why, partial(clean, settings, before))


def clean(settings: Settings, before: datetime) -> bool:
    """Let Airflow remove its rows from before a moment; the newest scheduled run of each DAG stays.

    Raises
    ------
    AimassError
        Airflow refuses.
    """
    command = ["db", "clean", "--clean-before-timestamp", before.isoformat(), "--skip-archive", "--yes"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "airflow", *command],
        env=airflow_environment(settings, home=settings.airflow_home, dags=settings.dags),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise AimassError(
            "Airflow's database cannot be cleaned",
            where=str(settings.airflow_home / "airflow.db"),
            seen=done.stderr.strip()[-500:],
            expected=f"airflow {' '.join(command)} ends with 0",
            cure="run the housekeeping again; a busy database is one reason",
        )
    return True
