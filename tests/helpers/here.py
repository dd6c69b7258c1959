"""Commands and nights in the tests' own process: what is imported is imported once, for all of them.

`aimass` gives the exit code and the two streams of a command as a process of its own would. A night that it runs is
the DAG file's own, with its operators, Params and ledger; neither Airflow nor a stage is a process there.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
from searching import run_here

from pipelines.artifacts import Request
from pipelines.cli.main import app
from pipelines.local.dag_file import Chain, as_chain
from pipelines.local.inprocess import LocalNight, night_of
from pipelines.runner import run_stage
from pipelines.settings import Settings


def aimass(*words: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with changed variables of the environment."""
    with pytest.MonkeyPatch.context() as patch, _captured() as (out, err):
        patch.setattr("pipelines.local.inprocess.run_in_process", night)
        if folder is not None:
            patch.chdir(folder)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            app(list(words), prog_name="aimass")
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


def night(
    settings: Settings,
    dag_file: Path,
    at: datetime | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    run_after: datetime | None = None,
    **_: Any,
) -> LocalNight:
    """Run the tasks of a DAG file one after the other; replaces ``run_in_process``."""
    from aimass_airflow.call import CallOperator
    from aimass_airflow.inprocess import load_dag
    from airflow.sdk.definitions.xcom_arg import XComArg
    from airflow.sdk.exceptions import AirflowSkipException

    def call(_: CallOperator, request: Request, *__: Any) -> bytes:
        return run_stage(request, settings).model_dump_json().encode()

    settings.ensure()
    dag = load_dag(dag_file.resolve())
    moment = run_after or datetime.now(UTC)
    run = SimpleNamespace(run_id=night_of(moment), logical_date=at, run_after=moment)
    asked = {**dag.params.dump(), **(params or {})}
    context = {"dag_run": run, "ti": SimpleNamespace(try_number=1), "params": asked, "dag": dag}
    results: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CallOperator, "call", call)
        patch.setattr("pipelines.tuning.search.search", run_here)
        patch.setenv("AIMASS_DAGS_FOLDER", str(dag_file.resolve().parent))
        for task in dag.topological_sort():
            if task.upstream_task_ids <= results.keys():
                task.inputs = {
                    name: results[value.operator.task_id] if isinstance(value, XComArg) else value
                    for name, value in task.inputs.items()
                }
                try:
                    results[task.task_id] = task.execute(context)
                except AirflowSkipException:
                    continue
    return LocalNight(dag.dag_id.removeprefix("retrain_"), run.run_id)


def chain_of(settings: Settings, dag_file: Path, params: Mapping[str, Any]) -> Chain:
    """Read a DAG file; replaces ``pipelines.cli.plan.chain_of``, which starts a process for it."""
    from aimass_airflow.inprocess import load_dag
    from aimass_airflow.specs import declared

    return as_chain(declared(load_dag(dag_file.resolve()), dict(params)))


@contextmanager
def _captured() -> Iterator[tuple[IO[str], IO[str]]]:
    """Send both streams to files, and undo what a command sets for the rest of its process."""
    names = ("stdout", "stderr")
    streams, kept = [getattr(sys, name) for name in names], [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, warnings.catch_warnings():
        for number, name, file in zip((1, 2), names, (out, err), strict=True):
            getattr(sys, name).flush()
            os.dup2(file.fileno(), number)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
        try:
            yield out, err
        finally:
            logging.captureWarnings(False)
            for number, name, stream, real in zip((1, 2), names, streams, kept, strict=True):
                getattr(sys, name).flush()
                setattr(sys, name, stream)
                os.dup2(real, number)
                os.close(real)
