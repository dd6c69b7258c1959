"""The pod of a task, where Airflow's executor is that of Kubernetes; elsewhere nothing of it is imported."""

from __future__ import annotations

from typing import Any

from airflow.sdk.configuration import conf

from pipelines import stages
from pipelines.pods import Needs, Pod, needs_of

CONTAINER = "base"
"""Name that Airflow gives the container of a task."""
GPU = "nvidia.com/gpu"
"""The resource, and the taint that keeps others off its nodes."""


def executor_config(stage: str, asked: Pod | None = None) -> dict[str, Any]:
    """Return the ``executor_config`` of a stage's task; empty where no executor reads it.

    Parameters
    ----------
    asked
        What the DAG file says of the pod.
    """
    if "Kubernetes" not in conf.get("core", "executor", fallback=""):
        return {}
    try:
        return {"pod_override": pod_override(stage, needs_of(stages.get(stage), asked))}
    except ImportError:  # a scheduler with this executor does not start without the client; the doctor names it
        return {}


def pod_override(stage: str, needs: Needs) -> Any:
    """Return what a stage adds to the pods of the template, as the client's ``V1Pod``."""
    from kubernetes.client import models as k8s

    gpus = {GPU: str(needs.gpus)} if needs.gpus else {}
    memory = f"{round(needs.memory_gb * 1024)}Mi"
    container = k8s.V1Container(
        name=CONTAINER,
        env=[k8s.V1EnvVar(name=name, value=value) for name, value in needs.environment.items()],
        resources=k8s.V1ResourceRequirements(
            requests={"cpu": f"{round(needs.cpu * 1000)}m", "memory": memory, **gpus}, limits={"memory": memory, **gpus}
        ),
    )
    tolerated = k8s.V1Toleration(key=GPU, operator="Exists", effect="NoSchedule")
    labels = {"app.kubernetes.io/part-of": "aimass", "app.kubernetes.io/component": stage}
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(labels=labels),
        spec=k8s.V1PodSpec(
            containers=[container],
            node_selector=dict(needs.node_selector) or None,
            tolerations=[tolerated] if needs.gpus else None,
        ),
    )
