"""The ledger as the controller of one of several serving hosts sees it: its own part of the serving table."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from pipelines.ledger import Ledger
from pipelines.ledger.rows import ServiceRow
from pipelines.settings import Settings

LOST = "serving-host-lost"
"""Kind of the alert of a host that no longer renews its lease."""
RENEW_SECONDS = 2.0


class ServingHost:
    """Stands between the controller and the ledger."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self.ledger = ledger
        self.host, self.name = str(settings.serve_address), os.uname().nodename

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Renew the lease, beside a controller that fetches a model or waits for the end of a process.

        It ends with a process that is stopped in order: others take its place at once.
        """
        over = threading.Event()

        def renew() -> None:
            while not over.wait(RENEW_SECONDS):
                with suppress(Exception):  # whatever the database raises, the next try may succeed
                    self.ledger.renew(self.host, self.name)

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        except SystemExit:
            over.set()
            thread.join(RENEW_SECONDS)
            with suppress(Exception):  # it ends by itself, only later
                self.ledger.leave(self.host)
            raise

    def serving(self) -> list[ServiceRow]:
        """Return the serving table as it is for this host: what others serve is to be stopped here."""
        return self.ledger.take_part(self.host, self.name)

    def observe(
        self,
        model: str,
        version: int,
        actual: str,
        address: str | None = None,
        pid: int | None = None,
        detail: str = "",
    ) -> None:
        """Record what this host has of a version."""
        self.ledger.observe_on(self.host, model, version, actual, address, pid, detail)

    def route(self, model: str) -> int | None:
        """Return a model's live version."""
        return self.ledger.route(model)

    def end_lease(self, model: str, version: int) -> None:
        """Ask for a version to stop, everywhere, whose lease is over."""
        self.ledger.end_lease(model, version)

    def alert(self, model: str, kind: str, message: str, key: str) -> bool:
        """Fire an alert of this host."""
        return self.ledger.alert(model, kind, f"on {self.host}: {message}", key=f"{key}@{self.host}")

    def resolve_alert(self, model: str, key: str) -> bool:
        """Resolve an alert of this host."""
        return self.ledger.resolve_alert(model, f"{key}@{self.host}")

    def observe_serving(
        self, model: str, version: int, process: str, *, cpu_seconds: float, rows: int, memory: int
    ) -> None:
        """Keep the counters of a serving process."""
        self.ledger.observe_serving(model, version, process, cpu_seconds=cpu_seconds, rows=rows, memory=memory)

    def watch_others(self, now: datetime) -> None:
        """Fire an alert for each host that is lost, and resolve it when it is back or was left out for a day."""
        for each in self.ledger.hosts():
            key = f"{LOST}@{each.address}"
            away = (now - each.until).total_seconds()
            if not each.live and self.host != each.address and away < 86_400:
                which = f"serving host {each.address} ({each.name})"
                said = f"{which} has not renewed its lease since {each.beat_at:%Y-%m-%d %H:%M:%S} UTC"
                self.ledger.alert(None, LOST, said, key=key)
            else:
                self.ledger.resolve_alert(None, key)
