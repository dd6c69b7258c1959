"""Names of Params are checked when a run is triggered: which names a DAG takes."""

from __future__ import annotations

import pytest
from aimass_airflow import trigger
from aimass_airflow.params import STOP
from aimass_airflow.trigger import names_of
from dag_file import dag_module


def test_a_night_takes_its_form_and_every_setting_of_its_stages() -> None:
    dag = dag_module("retrain_loans").dag
    known = names_of(dag.params, dag.task_ids)
    assert set(dag.params) <= known
    assert {"tune__trials", "evaluate__plots", "sample__fraction", "deploy__instances", STOP} <= known
    assert not {"tune__trails", "verify__tolerance", "trials"} & known


def test_an_operation_takes_its_form_alone() -> None:
    dag = dag_module("rollback").dag
    assert names_of(dag.params, dag.task_ids) == {"model", "to", "why"}


@pytest.mark.parametrize(("dag_id", "conf"), [(None, {"x": 1}), ("demo", None), ("demo", {}), ("demo", "text")])
def test_a_run_without_names_needs_no_look_at_its_dag(dag_id: str | None, conf: object) -> None:
    assert trigger.fault_of(dag_id, conf) == ""
