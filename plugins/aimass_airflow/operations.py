"""Scheduled operations that belong to no model: one DAG, one task, one command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable, ExceptionRetryPolicy, RetryAction, RetryRule

from aimass_airflow.stage_process import clean_environment
from pipelines.errors import BY_KIND, AimassError
from pipelines.spec import Spec

if TYPE_CHECKING:
    from airflow.sdk import Context

KEPT_LINES = 40
GRACE_SECONDS = 10


class OperationOperator(BaseOperator):
    """Runs ``python -m pipelines.<room>.stage SPEC`` with a cleaned environment, in the task's own process group.

    Parameters
    ----------
    room
        Folder in ``pipelines/``.
    spec
        Its settings, handed over as JSON.
    """

    ui_color = "#f3f0e8"

    def __init__(self, *, room: str, spec: Spec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.room = room
        self.spec = spec
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> None:
        """Run the command to its end and resolve the alert of an earlier failure.

        Raises
        ------
        AimassError
            The typed error that the command ended with; a retry cannot cure it.
        RuntimeError
            Anything else.
        """
        last: deque[str] = deque(maxlen=KEPT_LINES)
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"pipelines.{self.room}.stage", json.dumps(self.spec.model_dump(mode="json"))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**clean_environment(), "PYTHONUNBUFFERED": "1"},
        )
        try:
            for line in self._process.stdout or ():
                last.append(line.rstrip())
                self.log.info("%s", line.rstrip())
            code = self._process.wait()
        finally:
            self.on_kill()
        if code:
            raise _error(self.room, code, list(last))
        settle(self.task_id, "ok", f"{self.task_id} succeeded")

    def on_kill(self) -> None:
        """Stop the command with the task."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class OperationFailed:
    """Callback of an operation that failed for good: one alert, resolved when it next succeeds."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, context: Context) -> None:
        """Fire the alert."""
        facts: Any = context
        reason = facts.get("exception") or facts.get("reason") or "see the task's log"
        settle(self.name, "alert", f"{self.name} failed: {str(reason).splitlines()[0]}")


def settle(name: str, state: str, message: str) -> None:
    """Record an operation's end in the alerts."""
    from pipelines.ledger import Ledger
    from pipelines.monitoring import alerts
    from pipelines.monitoring.findings import Finding
    from pipelines.settings import load

    with Ledger.open(load().ensure()) as ledger:
        finding = Finding.model_validate({"model": None, "kind": name, "state": state, "message": message})
        alerts.settle(ledger, [finding])


def operation_dag(name: str, *, room: str, spec: Spec, schedule: str, timeout: timedelta, doc_md: str | None) -> DAG:
    """Give the DAG of one scheduled operation.

    Parameters
    ----------
    name
        Id of the DAG and its one task: ``backup`` or ``monitor``.
    room, spec
        What is run, with which settings.
    schedule
        Cron expression in UTC.
    timeout
        Of one attempt; the run may take three of them.
    doc_md
        Markdown shown in Airflow; pass ``__doc__``.
    """
    rule = RetryRule(
        exception="pipelines.errors.AimassError", action=RetryAction.FAIL, reason="another attempt cannot cure it"
    )
    with DAG(
        dag_id=name,
        schedule=CronTriggerTimetable(schedule, timezone="UTC"),
        doc_md=doc_md,
        description=next((line for line in (doc_md or name).splitlines() if line and not line.startswith("#")), name),
        tags=["aimass", "operations"],
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timeout * 3,
        is_paused_upon_creation=False,
        on_failure_callback=OperationFailed(name),
        default_args={
            "owner": "data-engineering",
            "retries": 2,
            "retry_delay": timedelta(seconds=20),
            "retry_exponential_backoff": 2.0,  # Airflow spreads the waits by task and attempt
            "max_retry_delay": timedelta(minutes=5),
            "retry_policy": ExceptionRetryPolicy(rules=[rule]),
            "execution_timeout": timeout,
        },
    ) as dag:
        OperationOperator(task_id=name, room=room, spec=spec)
    return dag


def _error(room: str, code: int, lines: list[str]) -> Exception:
    """Give the typed error that the exit code stands for, with what the command said last."""
    for kind, cls in BY_KIND.items():
        if cls is not AimassError and cls.exit_code == code:
            begin = next((n for n, line in enumerate(lines) if line.startswith(f"{kind}: ")), 0)
            said = "\n".join(lines[begin:]).removeprefix(f"{kind}: ")
            return cls(said or f"{room} ended with exit code {code}")
    return RuntimeError(f"{room} ended with exit code {code}: {lines[-1] if lines else 'no output'}")
