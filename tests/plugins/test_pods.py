"""Pods of tasks: made from real DAG files as Airflow parses, stores and completes them, and checked by the schema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from aimass_airflow import ingest, retrain_dag
from aimass_airflow.pods import executor_config

from pipelines.errors import SpecError
from pipelines.ingestion.spec import IngestSpec
from pipelines.pods import Pod, needs_of
from pipelines.spec import ModelSpec
from pipelines.stages import NIGHT, get

ROOT = Path(__file__).parents[2]
VERSION = "1.33"
PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.serialization.serialized_objects import DagSerialization
from kubernetes.client import ApiClient

template = PodGenerator.deserialize_model_file(sys.argv[2])
pods = {}
bag = DagBag(sys.argv[1])
for dag in bag.dags.values():
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    for task in DagSerialization.from_dict(stored).tasks:
        pod = PodGenerator.construct_pod(
            dag_id=dag.dag_id, task_id=task.task_id, pod_id="pod", try_number=1, kube_image="", date=None,
            args=["python", "-m", "airflow.sdk.execution_time.execute_workload"], namespace="aimass",
            pod_override_object=task.executor_config["pod_override"], base_worker_pod=template,
            scheduler_job_id="1", run_id="manual",
        )
        pods[f"{dag.dag_id}/{task.task_id.rpartition(chr(46))[2]}"] = ApiClient().sanitize_for_serialization(pod)
print("PARSED " + json.dumps({"errors": bag.import_errors, "pods": pods}))
"""


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Pods by DAG and task; of the example with what its tune and deploy ask for, and of an operation."""
    folder = tmp_path_factory.mktemp("airflow")
    dags = folder / "dags"
    dags.mkdir()
    text = (ROOT / "dags" / "retrain_loans.py").read_text()
    asked = 'tune(TUNE, table, pod=Pod(cpu=7.5, memory_gb=24, gpus=1, node_selector={"pool": "gpu"}))'
    text = text.replace("tune(TUNE, table)", asked).replace("deploy(DEPLOY, ", "deploy(DEPLOY, pod=Pod(cpu=0.5), *[")
    text = text.replace("bento, version)", "bento, version])").replace("import (", "import (\n    Pod,", 1)
    (dags / "retrain_loans.py").write_text(text)
    (dags / "backup.py").write_text((ROOT / "dags" / "backup.py").read_text())
    environment = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name} | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "AIMASS_HOME": str(folder / "aimass"),
    }
    words = [sys.executable, "-c", PARSE, str(dags), str(ROOT / "docker" / "kubernetes" / "pod-template.yaml")]
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("PARSED ")]
    assert lines, done.stderr[-3000:]
    facts = json.loads(lines[-1].removeprefix("PARSED "))
    assert not facts["errors"]
    found: dict[str, dict[str, Any]] = facts["pods"]
    return found


def container_of(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    assert container["name"] == "base"
    return container


def settings_of(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container_of(pod)["env"]}


@pytest.mark.slow
def test_every_task_of_a_night_gets_a_pod_that_the_schema_takes(pods: dict[str, dict[str, Any]]) -> None:
    assert pods.keys() == {"backup/backup", *(f"retrain_loans/{stage.name}" for stage in NIGHT)}
    for name, pod in pods.items():
        kubernetes_validate.validate(pod, VERSION, strict=True)
        stage = get(name.partition("/")[2])
        assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == stage.name
        container = container_of(pod)
        assert container["image"] == "aimass:latest"
        assert {mount["name"] for mount in container["volumeMounts"]} >= {"given", "dags"}
        if stage.name not in ("tune", "deploy") and stage.part_of != "deploy":
            needs = needs_of(stage)
            quantity = f"{needs.memory_gb * 1024:.0f}Mi"
            cpu = f"{needs.cpu * 1000:.0f}m"
            assert container["resources"] == {
                "requests": {"cpu": cpu, "memory": quantity},
                "limits": {"memory": quantity},
            }
    wrong = {**pods["backup/backup"], "spec": {**pods["backup/backup"]["spec"], "nodeSelectr": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


@pytest.mark.slow
def test_what_the_dag_file_asks_for_is_in_the_pod_and_told_to_the_stage(pods: dict[str, dict[str, Any]]) -> None:
    tune = pods["retrain_loans/tune"]
    assert container_of(tune)["resources"] == {
        "requests": {"cpu": "7500m", "memory": "24576Mi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "24576Mi", "nvidia.com/gpu": "1"},
    }
    assert tune["spec"]["nodeSelector"] == {"pool": "gpu"}
    assert tune["spec"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    told = settings_of(tune)
    assert (told["AIMASS_CORES"], told["AIMASS_MEMORY_GB"]) == ("7", "16.000")
    assert told["AIMASS_HOME"] == "/home/aimass/state", "the template's variables stay"
    for step in ("install", "start", "health", "verify", "deploy"):  # one function of the DAG file
        asked = container_of(pods[f"retrain_loans/{step}"])["resources"]["requests"]
        assert asked == {"cpu": "500m", "memory": "3072Mi"}
        assert settings_of(pods[f"retrain_loans/{step}"])["AIMASS_CORES"] == "1"


def test_no_other_executor_gets_a_pod_and_none_is_made_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LocalExecutor", "CeleryExecutor"):
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", name)
        assert executor_config("tune", Pod(cpu=8)) == {}
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "KubernetesExecutor")
    assert executor_config("tune") != {}
    for name in [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kubernetes", None)  # its import fails
    assert executor_config("tune") == {}


def test_what_a_dag_file_configures_itself_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "KubernetesExecutor")
    own = {"pod_override": None, "own": True}
    model = ModelSpec(name="demo", task="regression", target="price")
    with retrain_dag(model, default_args={"executor_config": own}) as dag:
        ingest(IngestSpec(source="x"), pod=Pod(cpu=4))
    assert dag.get_task("ingest").executor_config == own


def test_one_of_several_executors_gets_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor,KubernetesExecutor")
    pod = executor_config("tune", Pod(cpu=8))["pod_override"]
    assert pod.spec.containers[0].resources.requests["cpu"] == "8000m"


def test_what_no_pod_can_have_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        Pod(cpu=0, gpus=-1, node_selectr={})
    assert len(caught.value.faults) == 3
    assert "did you mean 'node_selector'" in str(caught.value)
