"""The manifests are what Kubernetes' published schemas say, and as locked down as the compose file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "kubernetes"
CUSTOM = {"RayCluster", "Kustomization"}
"""Kinds whose schema no package brings; their pod templates are checked as pods."""
VERSION = "1.33"


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    for name in ("kustomization.yaml", *kustomization["resources"]):
        for each in yaml.safe_load_all((FOLDER / name).read_text()):
            yield f"{each['kind']}/{each.get('metadata', {}).get('name', '')}", each


MANIFESTS = dict(manifests())


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the pod specs of all workloads."""
    for name, each in MANIFESTS.items():
        spec = each.get("spec", {})
        if each["kind"] in ("Deployment", "StatefulSet"):
            yield name, spec["template"]["spec"]
        elif each["kind"] == "RayCluster":
            for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
                yield f"{name}/{group.get('groupName', 'head')}", group["template"]["spec"]


PODS = dict(pods())


def test_every_file_of_the_base_is_listed() -> None:
    others = {"kustomization.yaml", "airflow-values.yaml", "pod-template.yaml"}
    listed = {*MANIFESTS["Kustomization/"]["resources"], *others}
    assert {path.name for path in FOLDER.iterdir()} == listed
    names = {"StatefulSet/serving", "Deployment/mlflow", "Deployment/dask-scheduler", "Deployment/dask-worker"}
    assert names | {"RayCluster/ray", "Namespace/aimass"} <= MANIFESTS.keys()


@pytest.mark.parametrize("name", [name for name, each in MANIFESTS.items() if each["kind"] not in CUSTOM])
def test_it_is_what_the_schema_of_kubernetes_says(name: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], VERSION, strict=True)


@pytest.mark.parametrize("name", [name for name in PODS if name.startswith("RayCluster")])
def test_pods_of_custom_resources_are_pods(name: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": PODS[name]}
    kubernetes_validate.validate(pod, VERSION, strict=True)


def test_the_pod_of_tasks_is_a_pod_like_the_others() -> None:
    pod = yaml.safe_load((FOLDER / "pod-template.yaml").read_text())
    kubernetes_validate.validate(pod, VERSION, strict=True)
    (container,) = pod["spec"]["containers"]
    assert container["name"] == "base", "Airflow looks for it"
    paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert paths["dags"] == mounted_dags(container)
    assert paths["expectations"] == suites_beside(paths["dags"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["spec"]["volumes"]}
    maps = {each["metadata"]["name"] for each in MANIFESTS.values() if each["kind"] == "ConfigMap"}
    assert {each["configMapRef"]["name"] for each in container["envFrom"]} <= maps
    assert pod["spec"]["securityContext"] == PODS["Deployment/dask-worker"]["securityContext"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["automountServiceAccountToken"] is False


def suites_beside(dags: str) -> str:
    """Return where stages look for the suites of DAG files in a folder."""
    return str(Path(dags).parent / "expectations")


def mounted_dags(values: dict[str, Any]) -> str:
    return next(each["value"] for each in values["env"] if each["name"] == "AIMASS_DAGS_FOLDER")


def test_the_schema_refuses_what_is_misspelt() -> None:
    wrong = {**MANIFESTS["Deployment/mlflow"], "spec": {**MANIFESTS["Deployment/mlflow"]["spec"], "replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_pods_are_locked_down_and_mounts_have_volumes(name: str) -> None:
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    claims = MANIFESTS["StatefulSet/serving"]["spec"]["volumeClaimTemplates"] if name == "StatefulSet/serving" else []
    volumes = {each["name"] for each in pod.get("volumes", ())} | {each["metadata"]["name"] for each in claims}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
        assert {each["name"] for each in container.get("volumeMounts", ())} <= volumes
        if not name.startswith("RayCluster"):  # there the operator adds the probes
            assert container["readinessProbe"]
            assert container["livenessProbe"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_services_find_their_pods_and_none_is_open_to_the_outside() -> None:
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in MANIFESTS.values() if each["kind"] in (
        "Deployment", "StatefulSet")]  # fmt: skip
    services = [each for each in MANIFESTS.values() if each["kind"] == "Service"]
    assert len(services) == 4
    for each in services:
        assert each["spec"].get("type", "ClusterIP") == "ClusterIP"
        assert any(each["spec"]["selector"].items() <= known.items() for known in labels), each["metadata"]
    inside = MANIFESTS["NetworkPolicy/inside-only"]["spec"]
    assert inside == {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}


def test_settings_and_secrets_are_named_where_they_are_used() -> None:
    maps = {each["metadata"]["name"] for each in MANIFESTS.values() if each["kind"] == "ConfigMap"}
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    made = {*compose["secrets"]}
    for name, pod in PODS.items():
        for container in pod["containers"]:
            assert {each["configMapRef"]["name"] for each in container.get("envFrom", ())} <= maps, name
        for volume in pod.get("volumes", ()):
            if secret := volume.get("secret"):
                assert secret["secretName"] == "aimass"
                assert {item["key"] for item in secret.get("items", ())} <= made, name
    assert not any(each["kind"] == "Secret" for each in MANIFESTS.values())


def test_values_of_the_chart_use_what_the_base_makes() -> None:
    values = yaml.safe_load((FOLDER / "airflow-values.yaml").read_text())
    assert values["executor"] == "CeleryExecutor"
    assert values["defaultAirflowRepository"] == "aimass"
    assert not values["postgresql"]["enabled"]
    assert not values["redis"]["enabled"]
    given = {each["configMapRef"]["name"] for each in yaml.safe_load(values["extraEnvFrom"])}
    assert given == {"aimass-settings", "aimass-training"}
    assert {mount["name"] for mount in values["volumeMounts"]} == {volume["name"] for volume in values["volumes"]}
    assert ("expectations", suites_beside(mounted_dags(values))) in {
        (mount["name"], mount["mountPath"]) for mount in values["volumeMounts"]
    }
    floor = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if '"apache-airflow>=' in line)
    assert f'>={values["airflowVersion"]}"' in floor
