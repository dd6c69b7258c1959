"""Operations that belong to no night, scheduled or with a form: one DAG, one task, one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
)
from airflow.sdk.exceptions import AirflowSkipException

from aimass_airflow.assets import DRIFTED, drift_of
from aimass_airflow.call import CallOperator
from pipelines import stages
from pipelines.artifacts import Call, Result
from pipelines.full_disk import disk_errors
from pipelines.pods import Pod
from pipelines.spec import Spec, overlay

if TYPE_CHECKING:
    from airflow.sdk import Context

ACTOR = 120
"""Characters of a name in the history."""
FOLDER = "_operations"
"""Folder of the calls; no model may have this name."""
DAY = timedelta(days=1)


class OperationOperator(CallOperator):
    """Runs one operation.

    Parameters
    ----------
    operation
        Its name, one of ``pipelines.stages.OPERATIONS``.
    spec
        Its settings, over which the run's Params are laid; None: they are the run's Params.
    pod
        Resources of its pod, where Airflow runs tasks in pods.
    """

    ui_color = "#f3f0e8"

    def __init__(self, *, operation: str, spec: Spec | None = None, pod: Pod | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_in_pod(operation, pod)
        self.operation = stages.get(operation).name
        self.spec = spec

    def execute(self, context: Context) -> None:
        """Run the operation to its end and resolve the alert of an earlier failure.

        Raises
        ------
        SpecError
            If the run's Params are no settings of the operation.
        AimassError
            The typed error that it ended with; a retry cannot cure it.
        TransientStageError
            Anything else.
        AirflowSkipException
            There was nothing to do.
        """
        from pipelines.settings import load

        facts: Any = context
        spec = self._effective(facts)
        settings = load().ensure()
        call = Call(stage=self.operation, spec=spec.model_dump(mode="json"))
        with disk_errors(settings.home):
            done = Result.model_validate_json(self.call(call, settings.calls / FOLDER / self.operation, spec))
            if skipped := done.stats.get("skipped"):
                raise AirflowSkipException(skipped)
            ask_to_retrain(facts, done.stats.get("retrain", ()))
            settle(self.task_id, "ok", f"{self.task_id} succeeded")

    def _effective(self, facts: Any) -> Spec:
        """Return the settings in force; where they say who asks, that is the DAG and the user who triggered it."""
        kind = stages.get(self.operation).spec_class()
        given = {name: value for name, value in dict(facts.get("params") or {}).items() if value is not None}
        if "actor" in kind.model_fields:
            user = getattr(facts.get("dag_run"), "triggering_user_name", None)
            given["actor"] = f"{self.task_id}:{user}"[:ACTOR] if user else self.task_id
        return kind(**given) if self.spec is None else overlay(self.spec, given) if given else self.spec


class OperationFailed:
    """Callback of an operation that failed for good: one alert, resolved when it next succeeds."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, context: Context) -> None:
        """Fire the alert."""
        facts: Any = context
        reason = facts.get("exception") or facts.get("reason") or "see the task's log"
        settle(self.name, "alert", f"{self.name} failed: {str(reason).splitlines()[0]}")


def ask_to_retrain(context: Any, wanted: Iterable[Mapping[str, str]]) -> None:
    """Tell of models whose drift matters: an event of the asset of each, at most once a day.

    Parameters
    ----------
    wanted
        ``{"model": …, "why": …}``.
    """
    from pipelines.ledger import Ledger
    from pipelines.settings import load

    for each in wanted:
        with Ledger.open(load().ensure()) as ledger:
            asked = ledger.react(each["model"], "retrain", outcome="asked", text=each["why"], every=DAY)
        if asked is not None:
            context["outlet_events"][DRIFTED].add(drift_of(each["model"]), extra={"why": each["why"]})


def settle(name: str, state: str, message: str) -> None:
    """Record an operation's end in the alerts."""
    from pipelines.alerting.deliver import deliver
    from pipelines.ledger import Ledger
    from pipelines.monitoring import alerts
    from pipelines.monitoring.findings import Finding
    from pipelines.settings import load

    settings = load().ensure()
    with Ledger.open(settings) as ledger:
        finding = Finding.model_validate({"model": None, "kind": name, "state": state, "message": message})
        alerts.settle(ledger, [finding])
        deliver(settings, ledger)


def operation_dag(
    name: str,
    *,
    spec: Spec | None = None,
    schedule: str | None,
    timeout: timedelta,
    doc_md: str | None,
    operation: str | None = None,
    params: Mapping[str, Any] | None = None,
    room: str | None = None,
    after: Asset | None = None,
    pod: Pod | None = None,
) -> DAG:
    """Return the DAG of one operation.

    Parameters
    ----------
    name
        The operation, and the id of the DAG and of its one task.
    spec
        Its settings, over which the run's Params are laid; None: the Params are all of them.
    schedule
        Cron expression in UTC; None: only by hand.
    timeout
        Of one attempt; the run may take three of them.
    doc_md
        Markdown shown in Airflow; pass ``__doc__``.
    operation
        The operation where the DAG has another name.
    params
        The trigger form: one field for each setting.
    room
        Not read; DAG files of earlier releases give it.
    after
        It also runs when this asset is told of; several events while it runs are one more run.
    pod
        Resources of its pod, where Airflow runs tasks in pods.
    """
    rule = RetryRule(
        exception="pipelines.errors.AimassError", action=RetryAction.FAIL, reason="another attempt cannot cure it"
    )
    times = None if schedule is None else CronTriggerTimetable(schedule, timezone="UTC")
    with DAG(
        dag_id=name,
        schedule=times if after is None or times is None else AssetOrTimeSchedule(timetable=times, assets=[after]),
        params=dict(params or {}),
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
        tells = [DRIFTED] if (operation or name) == "monitor" else []
        OperationOperator(task_id=name, operation=operation or name, spec=spec, pod=pod, outlets=tells)
    return dag
