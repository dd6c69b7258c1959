"""What a DAG file declares, as JSON: ``python -m aimass_airflow.specs DAGFILE PARAMS RESULT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow.sdk.definitions.xcom_arg import XComArg

from aimass_airflow.inprocess import load_dag
from aimass_airflow.operator import StageOperator
from aimass_airflow.params import effective_of_all
from pipelines.artifacts import write_json
from pipelines.errors import AimassError


def declared(dag: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Return the model and, of each stage in the order of the chain, its spec in force, its inputs and its place.

    Returns
    -------
    dict
        ``model``; ``stages`` {stage: {spec, inputs {name: stage}, pool, queue, pod}}.

    Raises
    ------
    SpecError
        If the Params are wrong; lists every fault.
    """
    tasks = [task for task in dag.topological_sort() if isinstance(task, StageOperator)]
    specs = effective_of_all({task.stage: task.spec for task in tasks}, params)
    by_id = {task.task_id: task.stage for task in tasks}
    found = {}
    for task in tasks:
        inputs = {
            name: by_id[output.operator.task_id] for name, output in task.inputs.items() if isinstance(output, XComArg)
        }
        spec = specs[task.stage].model_dump(mode="json")
        pod = task.pod and task.pod.model_dump(mode="json")
        found[task.stage] = {"spec": spec, "inputs": inputs, "pool": task.pool, "queue": task.queue, "pod": pod}
    model = next(task.model for task in tasks if task.model is not None)
    return {"model": model.model_dump(mode="json"), "stages": found}


def main(arguments: list[str]) -> None:
    """Write what the DAG file declares, or the error of one that cannot be imported, as JSON."""
    dag_file, params, result = arguments
    try:
        write_json(Path(result), declared(load_dag(Path(dag_file)), json.loads(params)))
    except AimassError as error:
        write_json(Path(result), {"error": error.to_dict()})


if __name__ == "__main__":
    main(sys.argv[1:])
