"""What every DAG file keeps to, read from the DAGs as Airflow itself parses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path.stem for path in (ROOT / "dags").glob("*.py"))
HEAVY_STAGES = {"ingest", "sample", "clean", "features", "tune", "ensemble"}
HEAVY_MODULES = (
    "bentoml",
    "dask",
    "distributed",
    "duckdb",
    "great_expectations",
    "kubernetes",
    "lightgbm",
    "matplotlib",
    "mlflow",
    "optuna",
    "pandas",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
)
PARSE = """
import json, sys
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag

by_airflow = set(sys.modules)
bag = DagBag(sys.argv[1])
dags = {}
for dag in bag.dags.values():
    timetable = dag.timetable
    dags[dag.dag_id] = {
        "file": dag.fileloc, "doc_md": dag.doc_md, "tags": sorted(dag.tags), "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs, "paused": dag.is_paused_upon_creation,
        "dagrun_timeout": dag.dagrun_timeout and dag.dagrun_timeout.total_seconds(),
        "timezone": str(getattr(timetable, "timezone", "UTC")), "on_failure": bool(dag.on_failure_callback),
        "assets": [asset.name for asset in getattr(getattr(timetable, "asset_condition", None), "objects", ())],
        "schedule": str(getattr(timetable, "expression", getattr(timetable, "_expression", ""))),
        "tasks": [{
            "id": task.task_id, "owner": task.owner, "retries": task.retries, "pool": task.pool,
            "stage": getattr(task, "stage", None), "backoff": float(task.retry_exponential_backoff or 0),
            "delay": task.retry_delay.total_seconds(), "policy": task.retry_policy is not None,
            "tells": [asset.name for asset in task.outlets],
            "timeout": task.execution_timeout and task.execution_timeout.total_seconds(),
        } for task in dag.tasks],
    }
print("PARSED " + json.dumps({
    "errors": bag.import_errors, "dags": dags, "modules": sorted(set(sys.modules) - by_airflow),
    "by_airflow": sorted(by_airflow),
}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAG folder as parsed by an Airflow of its own, in a process of its own."""
    folder = tmp_path_factory.mktemp("airflow")
    kept = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
    environment = {
        **kept,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIMASS_HOME": str(folder / "aimass"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(ROOT / "dags")],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("PARSED ")]
    assert lines, done.stderr[-3000:]
    assert not (folder / "aimass").exists(), "importing a DAG file made a folder"
    result: dict[str, Any] = json.loads(lines[-1].removeprefix("PARSED "))
    return result


@pytest.fixture(params=FILES)
def dag(request: pytest.FixtureRequest, parsed: dict[str, Any]) -> dict[str, Any]:
    """One DAG by the name of its file: file name, DAG id and doc page are one word."""
    assert request.param in parsed["dags"], parsed["errors"]
    facts: dict[str, Any] = {"id": request.param, **parsed["dags"][request.param]}
    return facts


def test_every_file_parses_and_holds_one_dag_of_its_name(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert sorted(parsed["dags"]) == FILES
    assert {"backup", "monitor"} <= set(FILES)
    assert [name for name in FILES if name.startswith("retrain_")]


def test_parsing_imports_no_heavy_module(parsed: dict[str, Any]) -> None:
    top = {name.split(".")[0] for name in parsed["modules"]}
    assert sorted(top & set(HEAVY_MODULES)) == []
    assert not {name.split(".")[0] for name in parsed["by_airflow"]} & {"pandas", "ray", "sklearn", "mlflow"}


def test_doc_says_what_it_does_who_owns_it_and_how_to_triage(dag: dict[str, Any]) -> None:
    text = dag["doc_md"]
    assert text.lstrip().startswith(f"# {dag['id']}")
    assert "**Owner**" in text
    assert "**Schedule**" in text
    assert "fails" in text
    runbook = "retrain" if dag["id"].startswith("retrain_") else dag["id"]
    assert f"docs/runbooks/{runbook}.md" in text
    assert (ROOT / "docs" / "runbooks" / f"{runbook}.md").is_file()


def test_runs_one_at_a_time_without_catching_up_and_ends_in_time(dag: dict[str, Any]) -> None:
    assert dag["catchup"] is False
    assert dag["max_active_runs"] == 1
    assert dag["dagrun_timeout"]
    assert dag["paused"] is False
    assert dag["timezone"] == "UTC"
    assert dag["on_failure"]
    assert "aimass" in dag["tags"]


def test_every_task_is_owned_retried_with_growing_waits_and_ends_in_time(dag: dict[str, Any]) -> None:
    assert dag["tasks"]
    for task in dag["tasks"]:
        assert task["owner"] not in ("", "airflow"), task
        assert task["retries"] >= 1, task
        assert task["backoff"] > 1, task  # Airflow spreads exponential waits by task and attempt: that is the jitter
        assert task["delay"] > 0, task
        assert task["policy"], task
        assert task["timeout"], task
        assert task["timeout"] < dag["dagrun_timeout"], task


def test_heavy_stages_share_the_pool(dag: dict[str, Any]) -> None:
    for task in dag["tasks"]:
        assert (task["pool"] == "heavy") == (task["stage"] in HEAVY_STAGES), task


def test_a_backup_follows_each_night_that_puts_a_version_into_service(parsed: dict[str, Any]) -> None:
    tells = {
        (name, task["id"]): task["tells"]
        for name, dag in parsed["dags"].items()
        for task in dag["tasks"]
        if task["tells"]
    }
    nights = [name for name in FILES if name.startswith("retrain_")]
    assert tells.pop(("monitor", "monitor")) == ["aimass_drifted"]
    assert tells == {(name, "release.deploy"): ["aimass_version_live"] for name in nights}
    listening = {name: dag["assets"] for name, dag in parsed["dags"].items() if dag["assets"]}
    assert listening == {"backup": ["aimass_version_live"]}


@pytest.mark.parametrize("name", FILES)
def test_dag_file_is_short(name: str) -> None:
    text = (ROOT / "dags" / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 100 + 10 * text.count("Join(")
