"""The DAG with a form: what it asks for, and a run of it with the real operator, process and model."""

from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from aimass_airflow.operations import OperationFailed, OperationOperator
from airflow.sdk import DAG
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from dag_file import dag_module

from pipelines.batch.spec import BatchSpec
from pipelines.errors import SpecError


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return dag_module("batch_predict")


@pytest.fixture
def dag(module: ModuleType) -> DAG:
    found: DAG = module.dag
    return found


def filled(module: ModuleType, **fields: Any) -> dict[str, Any]:
    """Return the context of a run whose form was filled in, checked as Airflow checks it."""
    form = ParamsDict(copy.deepcopy(module.FORM))
    form.update(fields)
    form.validate()
    return {"params": form}


def test_the_form_is_the_settings_with_a_description_and_examples_for_each(dag: DAG) -> None:
    assert set(dag.params) == set(BatchSpec.model_fields)
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, name
        assert param.schema["title"], name
        assert param.schema["examples"], name
        for example in param.schema["examples"]:
            copy.deepcopy(param).resolve(example)
    assert dag.schedule is None
    assert dag.doc_md is not None


@pytest.mark.parametrize("wrong", [{"output": "out.txt"}, {"version": 0}, {"model": ""}, {"version": "1"}])
def test_the_form_refuses_what_no_run_could_use(module: ModuleType, wrong: dict[str, Any]) -> None:
    asked = {"model": "demo", "input": "in.csv", "output": "out.csv"}
    filled(module, **asked)
    with pytest.raises(ParamValidationError):
        filled(module, **{**asked, **wrong})
    with pytest.raises(ParamValidationError):
        filled(module, model="demo", input="in.csv")


@pytest.mark.slow
def test_a_run_predicts_a_folder_and_an_error_is_told(
    module: ModuleType, dag: DAG, served: SimpleNamespace, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMASS_HOME", str(served.settings.home))
    monkeypatch.setenv("AIMASS_DAGS_FOLDER", str(tmp_path / "dags"))
    (tmp_path / "days").mkdir()
    for day in (1, 2):
        tiny.rows(50, day).to_csv(tmp_path / "days" / f"{day}.csv", index=False)
    (task,) = dag.tasks
    assert isinstance(task, OperationOperator)
    context: Any = filled(module, model="demo", input="days", output="out.parquet")
    task.execute(context)
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 100
    before = (tmp_path / "out.parquet").read_bytes()
    (tmp_path / "none.csv").write_text("id,amount,town,age\n")
    header: Any = filled(module, model="demo", input="none.csv", output="none-out.csv", version=1)
    task.execute(header)
    assert (tmp_path / "none-out.csv").read_text() == "id,prediction,probability\n"
    wrong: Any = filled(module, model="demo", input="days", output="out.parquet", version=7)
    with pytest.raises(SpecError, match="no such version") as caught:
        task.execute(wrong)
    assert (tmp_path / "out.parquet").read_bytes() == before
    OperationFailed(dag.dag_id)({"exception": caught.value})
    assert [row.message for row in served.ledger.alerts()] == ["batch_predict failed: no such version"]
    task.execute(context)
    assert served.ledger.alerts() == []
    unknown: Any = {"params": {"model": "demo", "input": "days", "output": "out.csv", "verson": 1}}
    with pytest.raises(SpecError, match="wrong setting") as named:
        task.execute(unknown)
    assert "did you mean 'version'" in str(named.value)
