"""What happens when a night fails: the ledger says so, and one alert is open until a night succeeds."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

KEY = "night"
KIND = "night"
FILE = "alerts.log"


class NightFailed:
    """Callback of a task that has failed for good, and of a DAG run that failed.

    The second one covers what no task can report itself: the run's own timeout, a task that was killed.
    """

    def __init__(self, model: str) -> None:
        self.model = model

    def __call__(self, context: Context) -> None:
        """Close the night as failed and fire the alert."""
        from pipelines.ledger import Ledger
        from pipelines.settings import load

        facts: Any = context
        run = facts.get("dag_run")
        night = run.run_id if run is not None else facts["run_id"]
        settings = load().ensure()
        ledger = Ledger.open(settings)
        try:
            row = ledger.night(self.model, night)
            if row is not None and row.state == "failed":
                return
            message = f"night {night} of {self.model} failed{_where(facts)}"
            ledger.close_night(self.model, night, "failed")
            if ledger.alert(self.model, KIND, message, KEY):
                line = {"at": datetime.now(UTC).isoformat(), "state": "firing", "model": self.model}
                line |= {"kind": KIND, "message": message, "key": KEY}
                _append(settings.logs / FILE, json.dumps(line, ensure_ascii=False) + "\n")
        finally:
            ledger.close()


class NightEnded:
    """Callback of a DAG run that succeeded: closes the night of a chain that ends before `deploy`."""

    def __init__(self, model: str) -> None:
        self.model = model

    def __call__(self, context: Context) -> None:
        """Close the night unless its last stage did."""
        from aimass_airflow.operator import close_night
        from pipelines.ledger import Ledger
        from pipelines.settings import load

        facts: Any = context
        run = facts.get("dag_run")
        night = run.run_id if run is not None else facts["run_id"]
        ledger = Ledger.open(load().ensure())
        try:
            row = ledger.night(self.model, night)
            if row is not None and row.state == "running":
                close_night(ledger, self.model, night, deployed=False)
        finally:
            ledger.close()


def _where(context: Any) -> str:
    task = context.get("task")
    error = context.get("exception")
    place = f" in {task.task_id}" if task is not None else ""
    reason = f": {str(error).splitlines()[0]}" if error is not None and str(error) else ""
    return place + (reason or (f": {context['reason']}" if context.get("reason") else ""))


def _append(path: Any, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
