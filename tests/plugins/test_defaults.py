"""The DAG that every model's file opens."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
from aimass_airflow import deploy, ingest, package, register, retrain_dag
from aimass_airflow.alerts import NightFailed
from airflow.sdk import RetryAction

from pipelines.errors import GateError, SpecError
from pipelines.ingestion.spec import IngestSpec
from pipelines.registry.spec import RegisterSpec
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="regression", target="price", owner="pricing")


def test_dag_of_a_model() -> None:
    with retrain_dag(MODEL, doc_md="# demo", specs=(IngestSpec(source="x"),), tags=["extra"]) as dag:
        raw = ingest(IngestSpec(source="x"))
        register(RegisterSpec(), raw, raw, after=raw)
    assert dag.dag_id == "retrain_demo"
    assert dag.tags >= {"aimass", "retrain", "demo", "extra"}
    assert (dag.catchup, dag.max_active_runs, dag.is_paused_upon_creation) == (False, 1, False)
    assert dag.dagrun_timeout == timedelta(hours=12)
    assert dag.start_date is None, "a start date in the past would start a night at once"
    task = dag.get_task("ingest")
    assert (task.owner, task.retries, task.pool) == ("pricing", 2, "heavy")
    assert task.execution_timeout == timedelta(hours=1)
    assert task.model is MODEL
    assert isinstance(task.on_failure_callback[0], NightFailed)
    assert dag.get_task("register").upstream_task_ids == {"ingest"}


def test_typed_errors_are_not_retried() -> None:
    with retrain_dag(MODEL) as dag:
        ingest(IngestSpec(source="x"))
    policy = dag.get_task("ingest").retry_policy
    assert policy.evaluate(GateError("unfit"), 1, 2).action == RetryAction.FAIL
    assert policy.evaluate(OSError("disk"), 1, 2).action == RetryAction.DEFAULT


def test_several_nights_of_a_model_at_once_are_refused() -> None:
    with pytest.raises(SpecError, match="nights of one model follow each other"), retrain_dag(MODEL, max_active_runs=3):
        pytest.fail("opened")


def test_no_schedule() -> None:
    with retrain_dag(MODEL, schedule=None) as dag:
        pass
    assert dag.timetable.__class__.__name__ == "NullTimetable"


def test_names_are_loaded_on_first_use() -> None:
    code = "import sys, aimass_airflow; print('airflow' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    import aimass_airflow

    assert callable(package)
    assert callable(deploy)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = aimass_airflow.nothing
