"""The gateway's CPU time is shared out by what was asked, and nothing is lost while the ledger is away."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pipelines.gateway import cpu_shares
from pipelines.gateway.cpu_shares import CpuShares
from pipelines.gateway.metrics import Metrics


class Store:
    def __init__(self) -> None:
        self.kept: dict[str, tuple[float, int]] = {}
        self.away = False

    def observe_serving(self, model: str, version: int, process: str, **counters: Any) -> None:
        if self.away:
            raise OSError("away")
        assert version == 0
        assert counters["memory"] > 0
        self.kept[model] = (counters["cpu_seconds"], counters["rows"])


def test_models_share_by_requests_and_rows(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([100.0, 102.0, 103.0, 105.0])
    monkeypatch.setattr(cpu_shares.time, "process_time", lambda: next(clock))
    store, metrics = Store(), Metrics()
    shares = CpuShares(store, metrics)
    metrics.observe("a", 200, 0.1, 400)  # as much as three requests
    metrics.observe("b", 400, 0.1, 1)
    asyncio.run(shares.flush())
    assert store.kept == {"a": (pytest.approx(1.5), 400), "b": (pytest.approx(0.5), 0)}
    store.away = True
    metrics.observe("b", 200, 0.1, 50)
    with caplog.at_level(logging.WARNING):
        asyncio.run(shares.flush())
    assert "cannot be written: away" in caplog.text
    store.away = False
    asyncio.run(shares.flush())  # nothing was asked since: nobody pays for it
    assert store.kept == {"a": (pytest.approx(1.5), 400), "b": (pytest.approx(1.5), 50)}
