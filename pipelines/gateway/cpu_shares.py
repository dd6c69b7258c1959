"""The gateway's CPU time, shared out among the models: once a minute, by what each was asked meanwhile."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from pipelines.gateway.metrics import Metrics

PERIOD_SECONDS = 60.0
ROWS_AS_REQUEST = 200
"""Rows that take the gateway as long as a request takes besides its rows: 1.4 µs each, against 290 µs."""
GATEWAY = 0
"""The version by which the ledger names the gateway's share."""

log = logging.getLogger(__name__)


class ShareStore(Protocol):
    """The part of the ledger that keeps the shares."""

    def observe_serving(
        self, model: str, version: int, process: str, *, cpu_seconds: float, rows: int, memory: int
    ) -> None:
        """Keep the counters of a serving process."""


class CpuShares:
    """Shares out what the process took since the last time; nothing is counted for it while requests are answered.

    Parameters
    ----------
    metrics
        Tells how many requests and rows there were of each model.
    """

    def __init__(self, store: ShareStore, metrics: Metrics) -> None:
        self._store, self._metrics = store, metrics
        self._process = uuid4().hex
        self._cpu = time.process_time()
        self._weights: Mapping[str, float] = {}
        self._shares: dict[str, float] = {}
        self._unwritten: set[str] = set()

    async def flush(self) -> None:
        """Share out and write; what cannot be written is written the next time."""
        requests, rows = self._metrics.asked()
        weights = {model: count + rows.get(model, 0) / ROWS_AS_REQUEST for model, count in requests.items()}
        new = {model: weight - self._weights.get(model, 0.0) for model, weight in weights.items()}
        total, now = sum(new.values()), time.process_time()
        if total > 0:
            for model, weight in new.items():
                self._shares[model] = self._shares.get(model, 0.0) + (now - self._cpu) * weight / total
            self._unwritten.update(model for model, weight in new.items() if weight > 0)
        self._weights, self._cpu = weights, now
        memory = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        try:
            for model in sorted(self._unwritten):
                keep = partial(self._store.observe_serving, model, GATEWAY, self._process)
                count = int(rows.get(model, 0))
                await asyncio.to_thread(keep, cpu_seconds=self._shares[model], rows=count, memory=memory)
                self._unwritten.discard(model)
        except Exception as error:  # noqa: BLE001  # whatever the database raises, the gateway goes on serving
            log.warning("the use of CPU time cannot be written: %s", error)

    async def keep_written(self) -> None:
        """Write for ever."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self.flush()
