"""Which service answers for a model: a snapshot of the ledger's serving table, never older than a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

log = logging.getLogger(__name__)

REFRESH_SECONDS = 0.5
STALE_SECONDS = 15.0


class ServingStore(Protocol):
    """The part of the ledger that knows what is served."""

    def serving(self, model: str | None = None) -> Sequence[Any]:
        """Return the serving table."""

    def routes(self) -> dict[str, int]:
        """Return the live version of each model."""


@dataclass(frozen=True)
class ServiceTarget:
    """One running service."""

    version: int
    port: int


@dataclass(frozen=True)
class Snapshot:
    """What is served at one moment."""

    live: dict[str, int] = field(default_factory=dict)
    ready: dict[str, tuple[ServiceTarget, ...]] = field(default_factory=dict)
    """By model, the live version first, then the newest."""
    taken: float = float("-inf")

    def models(self) -> list[str]:
        """Return every model that is live or asked for."""
        return sorted(self.live.keys() | self.ready.keys())

    def targets(self, model: str) -> tuple[ServiceTarget, ...]:
        """Return the services of a model in the order they are to be tried."""
        return self.ready.get(model, ())


def take_snapshot(store: ServingStore) -> Snapshot:
    """Read the serving table."""
    live = store.routes()
    ready: dict[str, list[ServiceTarget]] = {}
    for row in store.serving():
        targets = ready.setdefault(row.model, [])
        if row.actual == "ready" and row.port and (row.desired == "serve" or row.version == live.get(row.model)):
            targets.append(ServiceTarget(row.version, row.port))
    return Snapshot(
        live=live,
        ready={
            model: tuple(sorted(targets, key=lambda item: (item.version != live.get(model), -item.version)))
            for model, targets in ready.items()
        },
        taken=time.monotonic(),
    )


class Router:
    """Keeps the newest snapshot; the ledger is read in a thread, so the event loop never waits for it."""

    def __init__(self, store: ServingStore) -> None:
        self.store = store
        self.snapshot = Snapshot()
        self._turn = asyncio.Lock()

    async def refresh(self, since: float | None = None) -> Snapshot:
        """Take a snapshot now; one taken after ``since`` by somebody else will do."""
        async with self._turn:
            if since is None or self.snapshot.taken <= since:
                self.snapshot = await asyncio.to_thread(take_snapshot, self.store)
        return self.snapshot

    async def keep_fresh(self) -> None:
        """Refresh for ever; while the ledger cannot be read, the last snapshot stays in force."""
        while True:
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001  # whatever the database raises, the gateway goes on serving
                log.warning("the ledger cannot be read: %s", error)
            await asyncio.sleep(REFRESH_SECONDS)

    def fresh(self) -> bool:
        """Tell whether the ledger was read lately."""
        return time.monotonic() - self.snapshot.taken < STALE_SECONDS
