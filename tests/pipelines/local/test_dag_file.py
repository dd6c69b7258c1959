"""What a DAG file declares: the model, specs with the night's Params, inputs, pool and queue of each stage."""

from __future__ import annotations

from pathlib import Path

import pytest
from aimass_airflow.inprocess import load_dag
from aimass_airflow.specs import declared

from pipelines import stages
from pipelines.errors import SpecError
from pipelines.local.dag_file import as_chain
from pipelines.pods import Pod

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


def test_the_pod_of_a_stage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "retrain_loans.py"
    text = LOANS.read_text().replace("tune(TUNE, table)", "tune(TUNE, table, pod=Pod(cpu=8, gpus=1))")
    path.write_text(text.replace("import (", "import (\n    Pod,", 1))
    chain = as_chain(declared(load_dag(path), {}))
    assert chain.stages["tune"].pod == Pod(cpu=8, gpus=1)
    assert chain.stages["clean"].pod is None
