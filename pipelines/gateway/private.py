"""The gateway for one service that is not public yet: what it is asked over HTTP, callers would be answered."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import Any

import httpx
import uvicorn

from pipelines.errors import DeployError
from pipelines.gateway.app import create_app
from pipelines.settings import Settings
from pipelines.waiting import wait_until

START_SECONDS = 10.0
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class OneService:
    """What a gateway must know, in place of the ledger: one service and one token."""

    model: str
    version: int
    address: str
    token: str

    def serving(self, model: str | None = None) -> list[Any]:
        """Return the one service."""
        facts = {"model": self.model, "version": self.version, "address": self.address}
        return [SimpleNamespace(**facts, desired="serve", actual="ready")]

    def routes(self) -> dict[str, int]:
        """Return its version as live."""
        return {self.model: self.version}

    def check_token(self, text: str) -> Any | None:
        """Return the one token."""
        same = hmac.compare_digest(text.encode("utf-8", "surrogatepass"), self.token.encode())
        return SimpleNamespace(name="proof", scopes=["predict", "explain"], rate=None, quota=None) if same else None

    def usage(self, start: date, end: date, token: str | None = None) -> list[Any]:
        """Return nothing: there is no quota."""
        return []

    def count_usage(self, counts: Any) -> None:
        """Count nothing."""

    def paused(self) -> dict[str, str]:
        """Return nothing: a paused model is proved all the same."""
        return {}

    def observe_serving(
        self, model: str, version: int, process: str, *, cpu_seconds: float, rows: int, memory: int
    ) -> None:
        """Keep nothing."""

    def exposed_rollouts(self) -> list[Any]:
        """Return nothing: nothing is being released here."""
        return []

    def mart_tables(self, name: str) -> list[Any]:
        """Return nothing: there are no published tables here."""
        return []

    def newest_tables(self) -> list[Any]:
        """Return nothing: there are no published tables here."""
        return []

    def count_arm(self, rollout: int, share: int, arm: str, gateway: str, counts: Any) -> None:
        """Count nothing."""

    def close(self) -> None:
        """Hold nothing."""


@contextmanager
def private_gateway(settings: Settings, model: str, version: int, address: str) -> Iterator[httpx.Client]:
    """Yield a client of a gateway that serves one service on a free loopback port, with a token of its own.

    It runs in a thread of this process, writes no log and no usage, and ends with this.

    Raises
    ------
    DeployError
        If it does not start.
    """
    token = secrets.token_urlsafe(32)
    app = create_app(settings, OneService(model, version, address, token), logs=False)
    server = uvicorn.Server(uvicorn.Config(app, host=LOOPBACK, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, name="private-gateway", daemon=True)
    thread.start()
    try:
        if not wait_until(lambda: server.started or None, seconds=START_SECONDS, every=0.01):
            raise DeployError("the gateway of the proof did not start", expected=f"within {START_SECONDS:.0f} s")
        port = server.servers[0].sockets[0].getsockname()[1]
        base, headers = f"http://{LOOPBACK}:{port}", {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60.0) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
