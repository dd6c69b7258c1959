"""The gateway, and other applications, on a free loopback port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from pipelines.gateway.app import create_app
from pipelines.ledger import Ledger
from pipelines.settings import Settings


@contextmanager
def running(settings: Settings, ledger: Ledger, grpc_port: int | None = None) -> Iterator[httpx.Client]:
    """Serve the gateway on a free loopback port, and stop it in order."""
    with (
        serving(create_app(settings, ledger, grpc_port=grpc_port)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as client,
    ):
        yield client


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application on a free loopback port; yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
