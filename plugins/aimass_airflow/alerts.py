"""Callbacks for failed nights: the ledger records the failure, and one alert stays open until a night succeeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

KEY = "night"
KIND = "night"
SHOWN = 500


class NightFailed:
    """Callback of a task that failed finally, and of a DAG run that failed.

    The second one covers what no task can report itself: the run's own timeout, a task that was killed.
    """

    def __init__(self, model: str) -> None:
        self.model = model

    def __call__(self, context: Context) -> None:
        """Close the night as failed and fire the alert."""
        from pipelines.alerting.deliver import announce
        from pipelines.ledger import Ledger
        from pipelines.settings import load
        from pipelines.stage_context import tell_night

        facts: Any = context
        run = facts.get("dag_run")
        night = run.run_id if run is not None else facts["run_id"]
        with Ledger.open(load().ensure()) as ledger:
            row = ledger.night(self.model, night)
            if row is not None and row.state == "failed":
                return
            message = f"night {night} of {self.model} failed{_where(facts)}"
            ledger.close_night(self.model, night, "failed")
            ledger.alert(self.model, KIND, message, KEY)
            tell_night(ledger, self.model, night, message)
        announce(load())


class NightEnded:
    """Callback of a DAG run that succeeded: closes the night of a chain that ends before `deploy`."""

    def __init__(self, model: str) -> None:
        self.model = model

    def __call__(self, context: Context) -> None:
        """Close the night unless its last stage has closed it."""
        from pipelines.ledger import Ledger
        from pipelines.settings import load
        from pipelines.stage_context import close_night

        facts: Any = context
        run = facts.get("dag_run")
        night = run.run_id if run is not None else facts["run_id"]
        with Ledger.open(load().ensure()) as ledger:
            row = ledger.night(self.model, night)
            if row is not None and row.state == "running":
                close_night(ledger, self.model, night)


def _where(context: Any) -> str:
    task = context.get("task")
    error = context.get("exception")
    where = f" in {task.task_id}" if task is not None else ""
    reason = " ".join(line.strip() for line in str(error or "").splitlines()) or str(context.get("reason") or "")
    return f"{where}: {reason}"[:SHOWN] if reason else where
