"""A run that names a Param which the DAG does not have is refused when it is triggered, as a wrong value is.

Airflow checks the values of Params against their schemas, and lets names that it does not know pass. Every way to
trigger, the UI, the REST API, ``airflow dags trigger``, a backfill, another DAG, makes a ``DagRun`` or a ``Backfill``;
that is where the names are checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines import stages
from pipelines.spec import did_you_mean
from pipelines.stages import STOP

TAG = "aimass"
SHOWN = 12
"""Names that a refusal lists."""
_watched = False


def watch() -> None:
    """Check the names of Params from now on, in this process."""
    global _watched
    if _watched:
        return
    from airflow.models.backfill import Backfill
    from airflow.models.dagrun import DagRun
    from sqlalchemy import event

    event.listen(DagRun, "init", _check_run)
    event.listen(Backfill, "init", _check_backfill)
    _watched = True


def _check_run(_target: Any, _args: Any, given: Mapping[str, Any]) -> None:
    from airflow.exceptions import ParamValidationError

    if fault := fault_of(given.get("dag_id"), given.get("conf")):
        raise ParamValidationError(fault)


def _check_backfill(_target: Any, _args: Any, given: Mapping[str, Any]) -> None:
    from airflow.models.backfill import InvalidBackfillConf

    if fault := fault_of(given.get("dag_id"), given.get("dag_run_conf")):
        raise InvalidBackfillConf(fault)


def fault_of(dag_id: str | None, conf: Any) -> str:
    """Return what is wrong with the names in a run's configuration; empty if nothing is, or the DAG is not ours."""
    if not dag_id or not conf or not isinstance(conf, Mapping):
        return ""
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        dag = SerializedDagModel.get_dag(dag_id, session=session)
        if dag is None or TAG not in dag.tags:
            return ""
        known = names_of(dag.params, dag.task_ids)
    unknown = sorted(name for name in conf if name not in known)
    if not unknown:
        return ""
    named = ", ".join(f"{name!r}{did_you_mean(name, known).replace(';', ',')}" for name in unknown)
    listed = ", ".join(sorted(known)[:SHOWN]) + (", …" if len(known) > SHOWN else "")
    return f"Invalid input: {dag_id} has no param {named}; it has {listed or 'none'}"


def names_of(params: Iterable[str], tasks: Iterable[str]) -> set[str]:
    """Return the names of all Params that a DAG takes: its form's, and each setting of the stages that it has.

    Parameters
    ----------
    params
        Names in the trigger form.
    tasks
        Ids of the DAG's tasks, which begin with their group.
    """
    found = set(params)
    night = {stage.name: stage for stage in stages.NIGHT}
    for name in {task.rsplit(".", 1)[-1] for task in tasks} & night.keys():
        found.update(f"{night[name].whole}__{field}" for field in night[name].spec_class().model_fields)
        found.add(STOP)
    return found
