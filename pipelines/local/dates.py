"""When a DAG file's schedule has nights: asked of Airflow in a child process."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pipelines.local.dag_file import ask
from pipelines.settings import Settings


def scheduled_dates(settings: Settings, dag_file: Path, first: datetime, last: datetime) -> list[datetime]:
    """Return the dates of the nights from ``first`` to ``last``, both included, oldest first.

    A model without a schedule of times has one night a day, at midnight UTC.

    Raises
    ------
    AimassError
        The DAG file cannot be imported.
    """
    words = [first.isoformat(), last.isoformat()]
    facts = ask(settings, dag_file, "aimass_airflow.dates", words, "the schedule cannot be read")
    return [datetime.fromisoformat(text) for text in facts["dates"]]
