"""One night in this process, without a scheduler: ``python -m aimass_airflow.inprocess DAGFILE --at … --conf JSON``.

Must run with a *private* Airflow database, whose address is in the environment before Airflow is imported
(`pipelines.local.inprocess` does both). Writes what happened as JSON to ``--result``; stdout stays empty.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.artifacts import write_json
from pipelines.errors import AimassError, SpecError, from_dict
from pipelines.full_disk import disk_errors
from pipelines.parent_watch import watch_parent
from pipelines.stages import HEAVY

RETRY_DELAY = timedelta(seconds=1)


def main(arguments: list[str] | None = None) -> int:
    """Run the night; return the exit code of its error, or 0."""
    parser = argparse.ArgumentParser(prog="python -m aimass_airflow.inprocess")
    parser.add_argument("dag_file", type=Path)
    parser.add_argument("--at", type=datetime.fromisoformat, default=None)
    parser.add_argument("--run-after", type=datetime.fromisoformat, default=None)
    parser.add_argument("--conf", type=json.loads, default={})
    parser.add_argument("--template", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args(arguments)
    watch_parent()
    os.dup2(2, 1)  # whatever Airflow prints belongs to the log
    gc.set_threshold(100_000, 50, 100)  # importing Airflow makes a million objects that stay: a fifth of its time
    try:
        with disk_errors(options.result.parent):
            result = _run(options)
            write_json(options.result, result)
    except AimassError as error:
        print(f"{error.kind}: {error}", file=sys.stderr)
        with suppress(OSError):  # a full disk: whoever called sees that for himself
            write_json(options.result, {"state": "failed", "error": error.to_dict()})
        return error.exit_code
    return int(result["exit_code"])


def _run(options: argparse.Namespace) -> dict[str, Any]:
    from aimass_airflow.ahead import Ahead
    from aimass_airflow.call import CallOperator
    from aimass_airflow.one_night import alone
    from aimass_airflow.operator import StageOperator
    from pipelines.settings import load

    _database(options.template)
    dag = load_dag(options.dag_file)
    for task in dag.tasks:
        task.retry_delay = RETRY_DELAY
        task.retry_exponential_backoff = 0
        task.outlets = []  # no scheduler listens
    at = options.at.replace(tzinfo=options.at.tzinfo or UTC) if options.at else datetime.now(UTC)
    model = dag.dag_id.removeprefix("retrain_")
    stages = [task.stage for task in dag.topological_sort() if isinstance(task, StageOperator)]
    with alone(load().ensure(), model), Ahead(stages) as CallOperator.ahead:
        run = dag.test(logical_date=at, run_after=options.run_after, run_conf=options.conf)
    state = str(getattr(run.state, "value", run.state))
    result = {"model": model, "night": run.run_id, "state": state, "exit_code": 0, "error": None}
    if state != "success":
        error = first_error(model, run.run_id)
        result |= {"exit_code": error.exit_code, "error": error.to_dict()}
    return result


def _database(template: Path) -> None:
    """Create Airflow's database as a copy of a migrated template, which the first run makes."""
    from airflow import settings as airflow_settings

    target = Path(str(airflow_settings.SQL_ALCHEMY_CONN).removeprefix("sqlite:///"))
    if template.exists():
        shutil.copyfile(template, target)
        return
    from airflow.utils.db import upgradedb

    from aimass_airflow.prepare import ensure_pool

    upgradedb()
    ensure_pool(HEAVY, 1)
    airflow_settings.engine.dispose()
    partial = template.with_name(f"{template.name}.{os.getpid()}")
    shutil.copyfile(target, partial)
    partial.replace(template)


def load_dag(dag_file: Path) -> Any:
    """Import one DAG file and return its DAG.

    Raises
    ------
    SpecError
        If the file cannot be imported or holds no DAG; our own errors come through as they are.
    """
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(dag_file), bundle_path=dag_file.parent, bundle_name="dags-folder", load_op_links=False)
    if bag.import_errors:
        text = "\n".join(bag.import_errors.values())
        raise SpecError(
            "the DAG file cannot be imported",
            where=str(dag_file),
            seen=text.strip().splitlines()[-1],
            cure="correct the settings at its top",
            faults=[line.strip() for line in text.splitlines() if line.strip().startswith("- ")],
        )
    if len(bag.dags) != 1:
        raise SpecError(
            "the DAG file holds no DAG" if not bag.dags else "the DAG file holds several DAGs",
            where=str(dag_file),
            seen=sorted(bag.dags),
            expected="one DAG made by `with retrain_dag(MODEL, …) as dag`",
        )
    return next(iter(bag.dags.values()))


def first_error(model: str, night: str) -> AimassError:
    """Return the typed error of the stage that failed first, as the ledger holds it."""
    from pipelines.ledger import Ledger
    from pipelines.settings import load

    with Ledger.open(load()) as ledger:
        for row in ledger.stages(model, night):
            if row.state == "failed" and row.error:
                return from_dict(row.error)
    return AimassError("the night failed", where=f"{model} {night}", cure="read the log above")


if __name__ == "__main__":
    sys.exit(main())
