"""The parts of the platform: commands, health checks, and the order in which they stop."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import SpecError
from pipelines.local.executors import PARALLELISM, WORKER, worker_name
from pipelines.settings import Settings


@dataclass(frozen=True)
class Component:
    """One supervised part."""

    name: str
    command: Sequence[str]
    port: int | None = None
    health: str | None = None
    """Address that returns HTTP 200 when the part works; None: seen otherwise."""
    grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""
    first: bool = False
    """Stopped before all others."""


def components(settings: Settings) -> list[Component]:
    """Return the fixed parts that this machine runs; bentos follow the ledger's serving table.

    Raises
    ------
    SpecError
        `AIMASS_PARTS` names one that there is not.
    """
    known = all_components(settings)
    if unknown := sorted(set(settings.parts) - {part.name for part in known}):
        raise SpecError(
            "there is no such part",
            where="AIMASS_PARTS",
            seen=", ".join(unknown),
            expected=", ".join(part.name for part in known),
            cure="correct the names; celery-worker needs AIMASS_EXECUTOR=CeleryExecutor",
        )
    return [part for part in known if not settings.parts or part.name in settings.parts]


def all_components(settings: Settings) -> list[Component]:
    """Return all fixed parts, on whatever machine they run."""
    python = sys.executable
    airflow = [python, "-P", "-m", "airflow"]
    found = [
        Component(
            "airflow-api",
            [*airflow, "api-server"],
            settings.airflow_port,
            f"{settings.airflow_url}/api/v2/monitor/health",
        ),
        Component("airflow-scheduler", [*airflow, "scheduler", "--skip-serve-logs"], grace=8.0, first=True),
        Component("airflow-dag-processor", [*airflow, "dag-processor"]),
        Component("airflow-triggerer", [*airflow, "triggerer", "--skip-serve-logs"]),
        Component(
            "mlflow",
            [python, "-P", "-m", "pipelines.local.mlflow_server"],
            settings.mlflow_port,
            f"{settings.mlflow_uri}/health",
            grace=5.0,
        ),
        Component(
            "gateway",
            [python, "-P", "-m", "pipelines.gateway"],
            settings.gateway_port,
            f"{settings.gateway_url}/healthz",
            grace=15.0,
        ),
        Component("controller", [python, "-P", "-m", "pipelines.local.controller"]),
        Component("alias-watch", [python, "-P", "-m", "pipelines.local.alias_watch"], grace=5.0),
    ]
    if settings.executor == "CeleryExecutor":
        worker = ["celery", "worker", "--skip-serve-logs", "--celery-hostname", worker_name()]
        found.append(Component(WORKER, [*airflow, *worker, "--concurrency", str(PARALLELISM)], grace=20.0, first=True))
    return found


def ports(settings: Settings) -> dict[str, int]:
    """Return the ports of the fixed parts of this machine by the name of their setting."""
    here = {part.name for part in components(settings)}
    found = {
        "airflow_port": ("airflow-api", settings.airflow_port),
        "mlflow_port": ("mlflow", settings.mlflow_port),
        "gateway_port": ("gateway", settings.gateway_port),
        "grpc_port": ("gateway", settings.grpc_port),
    }
    return {name: port for name, (part, port) in found.items() if part in here and port is not None}


def watcher(settings: Settings, component: Component) -> dict[str, Any]:
    """Return the supervisor's options for a component: restart on exit, a log file of its own.

    The process writes its log itself. A pipe to the supervisor would be held open by what outlives the process, as
    Airflow's workers do, and a closed one under a new number has stopped the supervisor's event loop.
    """
    log = settings.logs / f"{component.name}.log"
    return {
        "name": component.name,
        "cmd": shlex.join(["/bin/sh", "-c", 'exec "$@" >>"$0" 2>&1', str(log), *component.command]),
        "copy_env": True,
        "working_dir": str(settings.home),
        "graceful_timeout": component.grace,
        "max_retry": -1,
    }
