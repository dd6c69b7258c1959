"""The gateway's application on a free loopback port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from pipelines.gateway.app import create_app
from pipelines.ledger import Ledger
from pipelines.settings import Settings


@contextmanager
def running(settings: Settings, ledger: Ledger, grpc_port: int | None = None) -> Iterator[httpx.Client]:
    """Serve the application on a free loopback port, and stop it in order."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings, ledger, grpc_port=grpc_port), port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        with httpx.Client(base_url=f"http://{host}:{port}", trust_env=False, timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
