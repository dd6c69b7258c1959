"""The demo model's DAG file: short, thin, and its chain is the one the stages ask for."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from pipelines.runner import ROOMS

FILE = Path(__file__).parents[2] / "dags" / "retrain_loans.py"


@pytest.fixture(scope="module")
def loans() -> ModuleType:
    spec = importlib.util.spec_from_file_location("retrain_loans", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_task_per_stage_in_three_groups(loans: ModuleType) -> None:
    groups = {
        "data": ("ingest", "sample", "clean", "validate", "split"),
        "train": ("features", "tune", "ensemble", "evaluate"),
        "release": ("register", "package", "deploy"),
    }
    assert [task.task_id for task in loans.dag.tasks] == [
        f"{group}.{stage}" for group, stages in groups.items() for stage in stages
    ]
    assert [task.stage for task in loans.dag.tasks] == list(ROOMS)


def test_every_task_gets_the_inputs_its_stage_asks_for(loans: ModuleType) -> None:
    for task in loans.dag.tasks:
        stage = importlib.import_module(f"pipelines.{ROOMS[task.stage]}.stage")
        assert set(task.inputs) == set(stage.INPUTS), task.task_id
        assert isinstance(task.spec, stage.SPEC)


def test_training_waits_for_the_suite(loans: ModuleType) -> None:
    assert "data.validate" in loans.dag.get_task("data.split").upstream_task_ids


def test_doc_and_length(loans: ModuleType) -> None:
    assert loans.dag.doc_md == loans.__doc__
    assert "When a night fails" in loans.__doc__
    lines = FILE.read_text().splitlines()
    assert len(lines) <= 110
    assert "{{" not in FILE.read_text()
