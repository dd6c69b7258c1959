"""When a DAG file's schedule has nights: asked of Airflow in a child process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from pipelines.errors import AimassError, from_dict
from pipelines.local.airflow_config import airflow_environment
from pipelines.settings import Settings

SECONDS = 120


def scheduled_dates(settings: Settings, dag_file: Path, first: datetime, last: datetime) -> list[datetime]:
    """Return the dates of the nights from ``first`` to ``last``, both included, oldest first.

    A model without a schedule of times has one night a day, at midnight UTC.

    Raises
    ------
    AimassError
        The DAG file cannot be imported.
    """
    home = Path(tempfile.mkdtemp(prefix="dates-", dir=settings.run_dir))
    environment = airflow_environment(settings, home=home, dags=dag_file.resolve())
    environment["AIMASS_DAGS_FOLDER"] = str(dag_file.resolve().parent)
    result = home / "result.json"
    words = [str(dag_file.resolve()), first.isoformat(), last.isoformat(), str(result)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "aimass_airflow.dates", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if not result.exists():
            raise AimassError(
                "the schedule cannot be read", where=str(dag_file), seen=done.stderr.strip()[-500:] or done.returncode
            )
        facts = json.loads(result.read_text())
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if facts.get("error"):
        raise from_dict(facts["error"])
    return [datetime.fromisoformat(text) for text in facts["dates"]]
