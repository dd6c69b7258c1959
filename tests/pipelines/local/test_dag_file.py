"""What a DAG file declares: the model, specs with the night's Params, inputs, pool and queue of each stage."""

from __future__ import annotations

from pathlib import Path

import pytest
from aimass_airflow.inprocess import load_dag
from aimass_airflow.specs import declared

from pipelines import stages
from pipelines.errors import SpecError
from pipelines.local.dag_file import as_chain

LOANS = Path(__file__).parents[3] / "dags" / "retrain_loans.py"


def test_the_chain_of_a_dag_file_has_its_stages_inputs_and_params() -> None:
    chain = as_chain(declared(load_dag(LOANS), {"tune__trials": 7}))
    assert chain.model.name == "loans"
    assert list(chain.stages) == [stage.name for stage in stages.NIGHT]
    assert {name: set(each.inputs) for name, each in chain.stages.items()} == {
        stage.name: set(stage.inputs) for stage in stages.NIGHT
    }
    assert chain.stages["features"].inputs == {"split": "split", "cleaned": "clean"}
    assert chain.stages["tune"].spec.model_dump()["trials"] == 7
    assert (chain.stages["tune"].pool, chain.stages["validate"].pool) == ("heavy", "default_pool")


def test_wrong_params_are_refused() -> None:
    with pytest.raises(SpecError, match="no such setting"):
        declared(load_dag(LOANS), {"tune__trails": 7})
