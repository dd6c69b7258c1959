"""The rollback's form, and a run of it with the real operator and process."""

from __future__ import annotations

import copy
from types import ModuleType, SimpleNamespace

import pytest
from aimass_airflow.operations import OperationOperator
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from dag_file import dag_module

from pipelines.deployment.rollback.spec import RollbackSpec
from pipelines.errors import SpecError


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return dag_module("rollback")


def test_the_form_asks_for_settings_of_a_rollback(module: ModuleType) -> None:
    assert set(module.FORM) <= set(RollbackSpec.model_fields)
    form = ParamsDict(copy.deepcopy(module.FORM))
    form.update({"model": "demo", "why": "odd"})
    form.validate()
    with pytest.raises(ParamValidationError):
        form.update({"why": ""})


@pytest.mark.slow
def test_the_form_is_run_by_the_operator(
    module: ModuleType, packaged: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMASS_HOME", str(packaged.settings.home))
    operator = module.dag.get_task("rollback")
    assert isinstance(operator, OperationOperator)
    form = ParamsDict(copy.deepcopy(module.FORM))
    form.update({"model": "demo", "to": 1, "why": "first of all"})
    operator.execute({"params": form})
    assert packaged.ledger.route("demo") == 1
    assert packaged.ledger.history("demo")[-1].why == "first of all"
    form.update({"to": 9})
    with pytest.raises(SpecError, match="no such version"):
        operator.execute({"params": form})
