"""What a task asks of the cluster where each runs in a pod of its own (`KubernetesExecutor`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.spec import Spec
from pipelines.stages import HEAVY, Stage

PLANNED = 2 / 3
"""Share of a pod's memory that its stage plans with; the rest is for libraries and for what cannot be planned."""


class Pod(Spec):
    """Resources of the pod of one stage; what is left out is as for every stage of its pool."""

    cpu: Annotated[float, Field(gt=0)] | None = None
    """CPUs that it asks for; the stage uses as many cores, at least one. Default: 2 in the pool `heavy`, else 1."""
    memory_gb: Annotated[float, Field(ge=0.5)] | None = None
    """Memory, in GB, that it asks for and is limited to. Default: 6 in the pool `heavy`, else 3."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """NVIDIA GPUs."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes it may run on, such as ``{"pool": "gpu"}``; default: any node."""


class Needs(Spec):
    """Resources of the pod of one stage, all said."""

    cpu: float
    """CPUs."""
    memory_gb: float
    """Memory in GB."""
    gpus: int
    """NVIDIA GPUs."""
    node_selector: dict[str, str]
    """Labels of its nodes."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables that tell the stage what it has: from inside a pod it sees all that its node has."""
        return {"AIMASS_CORES": str(max(1, int(self.cpu))), "AIMASS_MEMORY_GB": f"{self.memory_gb * PLANNED:.3f}"}

    def __str__(self) -> str:
        gpus = f", {self.gpus} GPU" if self.gpus else ""
        return f"pod of {self.cpu:g} CPU, {self.memory_gb:g} GB{gpus}"


def needs_of(stage: Stage, asked: Pod | None = None) -> Needs:
    """Return what a stage asks for: as the DAG file says, else by the stage's pool.

    >>> from pipelines import stages
    >>> str(needs_of(stages.get("tune"), Pod(cpu=8, gpus=1)))
    'pod of 8 CPU, 6 GB, 1 GPU'
    """
    asked = asked or Pod()
    cpu, memory = (2.0, 6.0) if stage.pool == HEAVY else (1.0, 3.0)
    return Needs(
        cpu=asked.cpu or cpu, memory_gb=asked.memory_gb or memory, gpus=asked.gpus, node_selector=asked.node_selector
    )
