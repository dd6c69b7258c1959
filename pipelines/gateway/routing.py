"""Which service is asked for a model: a snapshot of the ledger's serving table, never older than a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.gateway.canary import Rollout, RolloutStore
from pipelines.gateway.errors import RequestError, paused, unavailable
from pipelines.gateway.services import Service
from pipelines.inference.service.tls import Certificates

log = logging.getLogger(__name__)

REFRESH_SECONDS = 0.5
STALE_SECONDS = 15.0
LIVE = ("live", "champion")
"""Labels of the version that is live."""


class ServingStore(RolloutStore, Protocol):
    """The part of the ledger that knows what is served."""

    def serving(self, model: str | None = None) -> Sequence[Any]:
        """Return the serving table."""

    def routes(self) -> dict[str, int]:
        """Return the live version of each model."""

    def paused(self) -> dict[str, str]:
        """Return who paused each paused model, and why."""


@dataclass(frozen=True)
class ServiceTarget:
    """One service that is wanted; not ``ready`` while it is being started, for the first time or again."""

    version: int
    address: str
    ready: bool


@dataclass(frozen=True)
class Snapshot:
    """What is served at one moment."""

    live: dict[str, int] = field(default_factory=dict)
    targets: dict[str, tuple[ServiceTarget, ...]] = field(default_factory=dict)
    """By model, the live version first, then the newest."""
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    """By model, the release in progress whose candidate is ready."""
    paused: dict[str, str] = field(default_factory=dict)
    """By model that answers no caller, who paused it and why."""
    taken: float = float("-inf")

    def models(self) -> list[str]:
        """Return every model that is live or asked for."""
        return sorted(self.live.keys() | self.targets.keys())

    def knows(self, model: str) -> bool:
        """Tell whether a model is live or asked for."""
        return model in self.live or model in self.targets

    def ready(self, model: str) -> list[int]:
        """Return the versions of a model that are ready."""
        return [target.version for target in self.targets.get(model, ()) if target.ready]


def take_snapshot(store: ServingStore) -> Snapshot:
    """Read the serving table."""
    live = store.routes()
    found: dict[str, list[ServiceTarget]] = {}
    for row in store.serving():
        targets = found.setdefault(row.model, [])
        wanted = row.desired == "serve" or row.version == live.get(row.model)
        if row.address and wanted and row.actual in ("ready", "starting"):
            targets.append(ServiceTarget(row.version, row.address, row.actual == "ready"))
    rollouts = {
        row.model: Rollout(row.id, row.version, row.share, row.shadow)
        for row in store.exposed_rollouts()
        if row.version != live.get(row.model) and any(row.version == each.version for each in found.get(row.model, ()))
    }
    return Snapshot(
        live=live,
        targets={
            model: tuple(sorted(targets, key=lambda item: (item.version != live.get(model), -item.version)))
            for model, targets in found.items()
        },
        rollouts=rollouts,
        paused=store.paused(),
        taken=time.monotonic(),
    )


class Router:
    """Keeps the newest snapshot and a :class:`Service` for each target of it.

    The ledger is read in a thread, so the event loop never waits for it.
    """

    def __init__(self, store: ServingStore, certificates: Certificates | None = None) -> None:
        self.store, self.certificates = store, certificates
        self.snapshot = Snapshot()
        self._services: dict[tuple[str, int, str], Service] = {}
        self._turn = asyncio.Lock()

    async def refresh(self, since: float | None = None) -> Snapshot:
        """Take a snapshot now; one taken after ``since`` by somebody else will do."""
        async with self._turn:
            if since is None or self.snapshot.taken <= since:
                self.snapshot = await asyncio.to_thread(take_snapshot, self.store)
                wanted = {
                    (model, target.version, target.address)
                    for model, targets in self.snapshot.targets.items()
                    for target in targets
                }
                for key in [key for key in self._services if key not in wanted]:
                    self._services.pop(key).close()
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

    async def known(self, model: str) -> Snapshot:
        """Return a snapshot that holds the model.

        Raises
        ------
        RequestError
            404 if there is no such model.
        """
        if not self.snapshot.knows(model):
            await self.refresh(since=self.snapshot.taken)
            if not self.snapshot.knows(model):
                raise RequestError(404, "no such model", where=model[:80], cure="`aimass models` lists those there are")
        return self.snapshot

    async def service(self, model: str, version: int | None = None) -> Service:
        """Return the service of a model, or of one version of it.

        Without a version it is that of the live one; while that cannot be served, an earlier one that is ready.

        Raises
        ------
        RequestError
            404 for an unknown model or a version that is not served, 503 if nothing is ready or the model is paused.
        """
        snapshot = await self.known(model)
        if (said := snapshot.paused.get(model)) is not None:
            raise paused(model, said)
        target = _choose(snapshot, model, version)
        if target is None:
            snapshot = await self.refresh(since=snapshot.taken)
            target = _choose(snapshot, model, version)
        if target is None and version is not None:
            raise RequestError(
                404,
                "this version is not served",
                where=f"{model} version {version}"[:80],
                expected=f"one of {[each.version for each in snapshot.targets.get(model, ())]}",
                cure="aimass show lists the versions; the live one is served without a number",
            )
        if target is None:
            raise unavailable("no service is running")
        key = (model, target.version, target.address)
        if key not in self._services:
            self._services[key] = Service(target.version, target.address, self.certificates)
        return self._services[key]

    async def labelled(self, model: str, label: str) -> int:
        """Return the version behind a label: ``live`` or ``champion``, ``newest`` of those that are served.

        Raises
        ------
        RequestError
            404 for another one.
        """
        snapshot = await self.known(model)
        served = [target.version for target in snapshot.targets.get(model, ())]
        found = snapshot.live.get(model) if label in LIVE else max(served, default=None) if label == "newest" else None
        if found is None:
            raise RequestError(404, "no version has this label", where=label[:80], expected="live, champion or newest")
        return found

    def close(self) -> None:
        """Hang up everywhere."""
        for service in self._services.values():
            service.close()


def _choose(snapshot: Snapshot, model: str, version: int | None) -> ServiceTarget | None:
    targets = snapshot.targets.get(model, ())
    if version is not None:
        return next((each for each in targets if each.version == version), None)
    live = snapshot.live.get(model, 0)
    first = next((each for each in targets if each.version == live), None)  # being started again, it is waited for
    # one that is newer than what is live may be under proof: it is not for everybody yet
    return first or next((each for each in targets if each.ready and each.version < live), None)
