"""The DAG of a night: what every model's DAG file has in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, ExceptionRetryPolicy, RetryAction, RetryRule

from aimass_airflow.alerts import NightEnded, NightFailed
from aimass_airflow.assets import drift_of
from aimass_airflow.operator import StageOperator
from aimass_airflow.params import form
from aimass_airflow.schedules import or_on, schedule_of
from pipelines.errors import SpecError
from pipelines.spec import ModelSpec, Spec

NIGHTLY = "0 2 * * *"
RUN_TIMEOUT = timedelta(hours=12)
JITTERED = 2.0


def default_args(model: ModelSpec) -> dict[str, Any]:
    """Return what every task of a night shares.

    A typed error of ours fails at once: another attempt cannot cure it. Everything else is tried three times, with
    exponential waits that Airflow spreads by task and attempt.
    """
    return {
        "owner": model.owner,
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "retry_exponential_backoff": JITTERED,
        "max_retry_delay": timedelta(minutes=10),
        "retry_policy": ExceptionRetryPolicy(
            rules=[
                RetryRule(
                    exception="pipelines.errors.AimassError",
                    action=RetryAction.FAIL,
                    reason="bad input or an unfit candidate: another attempt cannot cure it",
                )
            ]
        ),
        "on_failure_callback": NightFailed(model.name),
    }


@contextmanager
def retrain_dag(
    model: ModelSpec,
    *,
    specs: Iterable[Spec] = (),
    schedule: Any = NIGHTLY,
    doc_md: str | None = None,
    tags: Iterable[str] = (),
    on_drift: bool = False,
    **options: Any,
) -> Iterator[DAG]:
    """Open the DAG ``retrain_<model>`` for the tasks of a night.

    Parameters
    ----------
    model
        The model that is retrained.
    specs
        The specs that the file declares; the trigger form describes their settings.
    schedule
        Whatever ``airflow.sdk.DAG`` takes: a cron expression or preset (in UTC), an interval, a timetable with a zone,
        assets; None: only by hand.
    doc_md
        Markdown shown in Airflow; pass ``__doc__``.
    tags
        Further tags.
    on_drift
        A night also runs when the monitor says that drift of the model's inputs matters, at most once a day.
    options
        Further arguments of ``airflow.sdk.DAG``.

    Raises
    ------
    SpecError
        The schedule is none that Airflow takes, or several nights are to run at once.
    """
    if (most := options.get("max_active_runs", 1)) != 1:
        raise SpecError(
            "nights of one model follow each other",
            where="retrain_dag(max_active_runs=…)",
            seen=most,
            expected="1",
            cure="leave it out; nights of different models run at once",
        )
    arguments: dict[str, Any] = {
        "catchup": False,
        "max_active_runs": 1,
        "dagrun_timeout": RUN_TIMEOUT,
        "is_paused_upon_creation": False,
        "on_failure_callback": NightFailed(model.name),
        "on_success_callback": NightEnded(model.name),
        **options,
    }
    with DAG(
        dag_id=f"retrain_{model.name}",
        # No start date: with one in the past the first night would start at once, whatever the hour.
        schedule=or_on(schedule_of(schedule), drift_of(model.name)) if on_drift else schedule_of(schedule),
        doc_md=doc_md,
        description=f"Nightly retraining of {model.name}: {model.task}"
        + (f", predicts {model.target}" if model.target else ""),
        tags=["aimass", "retrain", model.name, *tags],
        params=form(specs),
        default_args={**default_args(model), **arguments.pop("default_args", {})},
        **arguments,
    ) as dag:
        yield dag
    for task in dag.tasks:
        if isinstance(task, StageOperator) and task.model is None:
            task.model = model
