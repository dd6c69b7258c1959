"""The part of the platform that serves: supervisor, controller and gateway, without Airflow and MLflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
from circus.exc import CallError
from ports import free_ports

from pipelines import settings as settings_module
from pipelines.ledger import Ledger
from pipelines.ledger.rows import ServiceRow
from pipelines.local import supervisor
from pipelines.local.airflow_config import MARK
from pipelines.local.components import components, watcher
from pipelines.local.controller import watcher_name
from pipelines.local.processes import mark_of, sweep
from pipelines.settings import Settings
from pipelines.waiting import wait_until

PARTS = ("gateway", "controller")


@contextmanager
def serving(home: Path) -> Iterator[SimpleNamespace]:
    """Run controller and gateway of a home; yield its settings, ledger, supervisor and a client with a token."""
    settings = settings_module.load(home=home, mlflow_port=1024, gateway_port=free_ports(1)[0]).ensure()
    environment = {
        **os.environ,
        "AIMASS_HOME": str(home),
        "AIMASS_GATEWAY_PORT": str(settings.gateway_port),
        "AIMASS_MLFLOW_PORT": "1024",
        MARK: mark_of(settings),
    }
    watchers = [watcher(settings, part) for part in components(settings) if part.name in PARTS]
    running = supervisor.start(settings, watchers, environment, {})
    try:
        with (
            Ledger.open(settings) as ledger,
            httpx.Client(base_url=settings.gateway_url, trust_env=False, timeout=60) as client,
        ):
            assert wait_until(lambda: responds(client) or None, seconds=60, every=0.1)
            token = ledger.issue_token("caller", ["predict"], 1)
            client.headers["Authorization"] = f"Bearer {token}"
            yield SimpleNamespace(settings=settings, ledger=ledger, running=running, client=client, token=token)
    finally:
        stop(settings, running)


def stop(settings: Settings, running: supervisor.RunningPlatform) -> None:
    """Stop a platform; nothing of it is left."""
    with suppress(CallError):
        running.call("quit", timeout=60, waiting=True)
    with suppress(psutil.Error):
        psutil.Process(running.pid).wait(timeout=15)
    left = sweep(settings)
    supervisor.forget(settings)
    assert not left


def responds(client: httpx.Client) -> bool:
    """Tell whether the gateway responds."""
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def row_of(platform: SimpleNamespace, version: int) -> ServiceRow:
    """Return a version's row of the serving table."""
    return next(row for row in platform.ledger.serving("demo") if row.version == version)


def pids_of(platform: SimpleNamespace, version: int) -> list[int | None]:
    """Return the process of each instance of a version; None where none is running."""
    found = []
    for number in range(row_of(platform, version).instances):
        reply = platform.running.call("list", name=watcher_name("demo", version, number + 1))
        found.append(next(iter(reply.get("pids") or []), None))
    return found


def make_live(platform: SimpleNamespace, version: int, instances: int = 1) -> None:
    """Have a version served and switch to it once it is ready."""
    platform.ledger.want("demo", version, "serve", instances=instances)
    assert wait_until(lambda: row_of(platform, version).actual == "ready" or None, seconds=60, every=0.1)
    platform.ledger.switch("demo", version, 0, "test", "test")
    assert wait_until(
        lambda: platform.client.get("/readyz/demo").json()["models"]["demo"]["live_version"] == version or None,
        seconds=10,
        every=0.1,
    )
