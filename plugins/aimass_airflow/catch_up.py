"""A scheduler that was off for several nights runs one of them when it comes back, the last.

DAGs do not catch up. Still, Airflow notes in advance when the next run is due: a scheduler that starts late makes the
first run it has missed by that note, and then another for the last. So the notes are brought up to date first.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.listeners import hookimpl

from aimass_airflow.trigger import TAG

log = logging.getLogger(__name__)


@hookimpl  # type: ignore[untyped-decorator] # pluggy's marker has no types
def on_starting(component: Any) -> None:
    """Bring the notes of our DAGs up to date when a part of Airflow starts: it does not say yet which one it is."""
    for dag_id, before, after in skip_missed():
        log.info("%s: the run of %s was missed, the next is of %s", dag_id, before, after)


def skip_missed() -> list[tuple[str, datetime | None, datetime | None]]:
    """Set the next run of our DAGs anew where its time has passed; return DAG, date before and after of each."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunType

    changed = []
    automated = (DagRunType.SCHEDULED, DagRunType.BACKFILL_JOB)
    with create_session() as session:
        due = session.query(DagModel).filter(DagModel.next_dagrun_create_after < datetime.now(UTC)).all()
        for model in due:
            dag = SerializedDagModel.get_dag(model.dag_id, session=session)
            if dag is None or dag.catchup or TAG not in dag.tags:
                continue
            runs = session.query(DagRun).filter(DagRun.dag_id == model.dag_id, DagRun.run_type.in_(automated))
            last = runs.order_by(DagRun.logical_date.desc()).first()
            before = model.next_dagrun
            if last is None or before is None or last.logical_date >= before:
                continue
            model.calculate_dagrun_date_fields(dag=dag, reference_run=last)
            if model.next_dagrun != before:
                changed.append((model.dag_id, before, model.next_dagrun))
    return changed
