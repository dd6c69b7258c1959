"""The DAG files of the two examples: short, thin, and their chain is the one the stages ask for."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from dag_file import dag_module

from pipelines import stages

DAGS = Path(__file__).parents[2] / "dags"
LONGEST = {"retrain_loans": 110, "retrain_flight_delays": 140}


@pytest.fixture(scope="module", params=LONGEST)
def example(request: pytest.FixtureRequest) -> ModuleType:
    return dag_module(request.param)


def test_one_task_per_stage_in_three_groups(example: ModuleType) -> None:
    groups = {
        "data": ("ingest", "sample", "clean", "validate", "split"),
        "train": ("features", "tune", "ensemble", "evaluate"),
        "release": ("register", "configure", "package", "upload", "install", "start", "health", "verify", "deploy"),
    }
    assert [task.task_id for task in example.dag.tasks] == [
        f"{group}.{stage}" for group, stages in groups.items() for stage in stages
    ]
    assert [task.stage for task in example.dag.tasks] == [stage.name for stage in stages.NIGHT]


def test_every_task_gets_the_inputs_its_stage_asks_for(example: ModuleType) -> None:
    for task in example.dag.tasks:
        stage = stages.get(task.stage)
        assert set(task.inputs) == set(stage.inputs), task.task_id
        assert isinstance(task.spec, stage.spec_class())


def test_training_waits_for_the_suite(example: ModuleType) -> None:
    assert "data.validate" in example.dag.get_task("data.split").upstream_task_ids


def test_doc_and_length(example: ModuleType) -> None:
    assert example.dag.doc_md == example.__doc__
    assert "When a night fails" in example.__doc__
    text = (DAGS / f"{example.__name__}.py").read_text()
    assert len(text.splitlines()) <= LONGEST[example.__name__]
    assert "{{" not in text


def test_flights_are_joined_from_five_tables_and_none_tells_the_future(example: ModuleType) -> None:
    joins = {join.name: join for join in example.INGEST.joins}
    if example.__name__ == "retrain_loans":
        assert not joins
        return
    assert set(joins) == {"weather", "planes", "airports", "airlines"}
    assert joins["weather"].serve == "caller"
    assert set(example.ONLY_AFTER_DEPARTURE) <= set(example.MODEL.drop)
