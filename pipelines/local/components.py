"""The parts of the platform: commands, health checks, and the order in which they stop."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    """Return the fixed parts; bentos follow the ledger's serving table."""
    python = sys.executable
    airflow = [python, "-m", "airflow"]
    mlflow = [
        python,
        "-m",
        "mlflow",
        "server",
        "--app-name",
        "aimass",
        "--host",
        settings.host,
        "--port",
        str(settings.mlflow_port),
        "--workers",
        "1",
        "--backend-store-uri",
        settings.mlflow_store,
        "--serve-artifacts",
        "--artifacts-destination",
        str(settings.mlflow_dir / "artifacts"),
        "--allowed-hosts",
        ",".join(f"{host}:{settings.mlflow_port}" for host in (settings.host, "localhost")),
    ]
    serving = [
        Component(
            "gateway",
            [python, "-m", "pipelines.gateway"],
            settings.gateway_port,
            f"{settings.gateway_url}/healthz",
            grace=15.0,
        ),
        Component("controller", [python, "-m", "pipelines.local.controller"]),
    ]
    if settings.parts == "serving":
        return serving
    return [
        Component(
            "airflow-api",
            [*airflow, "api-server"],
            settings.airflow_port,
            f"{settings.airflow_url}/api/v2/monitor/health",
        ),
        Component("airflow-scheduler", [*airflow, "scheduler", "--skip-serve-logs"], grace=8.0, first=True),
        Component("airflow-dag-processor", [*airflow, "dag-processor"]),
        Component("airflow-triggerer", [*airflow, "triggerer", "--skip-serve-logs"]),
        Component("mlflow", mlflow, settings.mlflow_port, f"{settings.mlflow_uri}/health", grace=5.0),
        *serving,
        Component("alias-watch", [python, "-m", "pipelines.local.alias_watch"], grace=5.0),
    ]


def ports(settings: Settings) -> dict[str, int]:
    """Return the ports of the fixed parts by the name of their setting."""
    others = {"airflow_port": settings.airflow_port, "mlflow_port": settings.mlflow_port}
    found = {**({} if settings.parts == "serving" else others), "gateway_port": settings.gateway_port}
    return found if settings.grpc_port is None else {**found, "grpc_port": settings.grpc_port}


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
