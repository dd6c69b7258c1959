"""The Airflow side of AI Mass: what DAG files import. Names are loaded on first use."""

from __future__ import annotations

from typing import Any

from pipelines import stages

__all__ = ["Pod", "retrain_dag", *(stage.name for stage in stages.NIGHT)]


def __getattr__(name: str) -> Any:
    if name == "retrain_dag":
        from aimass_airflow.defaults import retrain_dag

        return retrain_dag
    if name == "Pod":
        from pipelines.pods import Pod

        return Pod
    if name in __all__:
        from aimass_airflow.tasks import TASKS

        return TASKS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
