"""Step health: running service in, its response times out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.deployment.proof import ask
from pipelines.deployment.release import asking, candidate
from pipelines.deployment.spec import DeploySpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings

SINGLES = 50
"""Requests of one row each that are timed."""

log = logging.getLogger(__name__)


def run(
    spec: DeploySpec, *, night: Night, settings: Settings, out: Path, start: Artifact, register: Artifact
) -> Outcome:
    """Ask the service over HTTP: ready, one row at a time, many rows at once. Leaves ``health.json``.

    Raises
    ------
    DeployError
        It is not ready, breaks off, or refuses a row.
    """
    name = night.model.name
    with Ledger.open(settings) as ledger:
        released = candidate(ledger, night, register)
        found: dict[str, Any] = {"version": released.version, "why": released.settled}
        if not released.settled:
            with asking(spec, night, settings, ledger, released) as (client, opened):
                found |= measure(client, f"/v1/models/{name}", opened.golden["rows"])
            log.info(f"version {released.version}: one row {found['p50_ms']} ms, 99 % within {found['p99_ms']} ms")
    write_json(out / "health.json", found)
    return Outcome(meta={"version": released.version}, stats=found)


def measure(client: httpx.Client, address: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the times to respond through a gateway, in milliseconds.

    Raises
    ------
    DeployError
        A response is no prediction.
    """
    import numpy as np

    if not rows:
        return {"requests": 0, "p50_ms": None, "p99_ms": None, "rows": 0, "rows_ms": None}
    ms = []
    for index in range(SINGLES):
        started = time.perf_counter()
        ask(client, address, [rows[index % len(rows)]])
        ms.append((time.perf_counter() - started) * 1000)
    started = time.perf_counter()
    ask(client, address, rows)
    return {
        "requests": SINGLES,
        "p50_ms": round(float(np.quantile(ms, 0.5)), 2),
        "p99_ms": round(float(np.quantile(ms, 0.99)), 2),
        "rows": len(rows),
        "rows_ms": round((time.perf_counter() - started) * 1000, 2),
    }
