"""Requests at a steady rate, whatever becomes of them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx


@dataclass(frozen=True)
class Seen:
    """One request: when it was sent, its status (0: no response at all), the version that predicted, its seconds."""

    at: float
    status: int
    version: int | None
    seconds: float


class Load:
    """Sends one body again and again, on a schedule that does not wait for responses. Use it as a context."""

    def __init__(self, url: str, token: str, body: Any, rate: float = 50.0) -> None:
        self.url, self.body, self.rate = url, body, rate
        self.seen: list[Seen] = []
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
            limits=httpx.Limits(max_connections=300),
        )
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(250)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._pool.shutdown()
        self._client.close()

    def since(self, moment: float) -> list[Seen]:
        """Return what was sent from a moment of ``time.monotonic`` on."""
        return [each for each in self.seen if each.at >= moment]

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._pool.submit(self._send)
            due += 1 / self.rate
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _send(self) -> None:
        started = time.monotonic()
        try:
            reply = self._client.post(self.url, json=self.body)
            version = reply.json().get("model_version") if reply.status_code == 200 else None
            self.seen.append(Seen(started, reply.status_code, version, time.monotonic() - started))
        except httpx.TransportError:
            self.seen.append(Seen(started, 0, None, time.monotonic() - started))
