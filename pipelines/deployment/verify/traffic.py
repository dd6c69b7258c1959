"""What callers would have seen: logged requests of the last days once more, to a version that has not answered yet."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pipelines.deployment.proof import ask
from pipelines.deployment.replay import logged
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import DeployError
from pipelines.inference.schema import ServeSchema

SINGLES = 100
"""Requests that are sent one by one for their times; the others go in chunks."""
FEW = 30
"""Rows from which a slice is told."""
SLICES = 5
MAX_LEVELS = 50

log = logging.getLogger(__name__)

Pair = tuple[dict[str, Any], dict[str, Any]]


def replay_traffic(
    spec: DeploySpec, client: httpx.Client, storage: Path, model: str, schema: ServeSchema
) -> dict[str, Any]:
    """Send logged requests to a candidate and compare with what callers were told then.

    Returns
    -------
    dict
        ``rows`` replayed, and ``left_out`` for their private cells.
        Labels: ``flips``, the share that changed, and the ``slices`` where most did. Numbers:
        ``shift``, the distance between both distributions (0 to 1), ``p50_change`` and ``p99_change``, absolute.
        ``p50_ms``, ``p99_ms`` of single requests. ``why`` where nothing could be replayed.

    Raises
    ------
    DeployError
        The candidate refuses what callers send, or more labels change than ``spec.replay_flips``.
    """
    since = datetime.now(UTC) - timedelta(days=spec.replay_days)
    if not spec.replay_rows:
        return {"rows": 0, "why": "DeploySpec.replay_rows is 0"}
    pairs, left_out = logged(storage, model, None, spec.replay_rows, schema, since)
    if not pairs:
        why = f"the {left_out} logged requests have private cells" if left_out else "no requests are logged"
        return {"rows": 0, "left_out": left_out, "why": why}
    needed = [column.name for column in schema.columns if not column.optional]
    lacking = sorted({name for name in needed if any(name not in instance for instance, _ in pairs)})
    if lacking:  # the log holds what the version before needed
        why = f"the logged requests have no cells of {', '.join(map(repr, lacking))}, which the new version needs"
        log.warning(f"nothing is replayed: {why}")
        return {"rows": 0, "why": why}
    predictions, ms = _asked(client, f"/v1/models/{model}", [instance for instance, _ in pairs])
    found = {"rows": len(pairs), "left_out": left_out, **_times(ms), **compare(pairs, predictions)}
    log.info(
        f"{len(pairs)} logged requests replayed: "
        + (
            f"{found['flips']:.1%} of the labels change"
            if "flips" in found
            else f"predictions move by {found['shift']:.2f}"
        )
    )
    if spec.replay_flips is not None and found.get("flips", 0.0) > spec.replay_flips:
        raise DeployError(
            "the new version predicts other labels for what callers sent",
            where=f"{model}, {len(pairs)} logged requests of the last {spec.replay_days} days",
            seen=f"{found['flips']:.1%} change",
            expected=f"at most {spec.replay_flips:.1%} (DeploySpec.replay_flips)",
            cure="the old version stays live; look at the slices in verify.json",
            faults=[f"{each['slice']}: {each['flips']:.1%} of {each['rows']} rows" for each in found["slices"]],
        )
    return found


def _asked(
    client: httpx.Client, address: str, rows: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[float]]:
    """Ask the first rows one by one and the others in chunks; return all predictions and the times of the first."""
    predictions, ms = [], []
    for row in rows[:SINGLES]:
        started = time.perf_counter()
        predictions += ask(client, address, [row])
        ms.append((time.perf_counter() - started) * 1000)
    return predictions + (ask(client, address, rows[SINGLES:]) if len(rows) > SINGLES else []), ms


def _times(ms: Sequence[float]) -> dict[str, float]:
    import numpy as np

    return {"p50_ms": round(float(np.quantile(ms, 0.5)), 2), "p99_ms": round(float(np.quantile(ms, 0.99)), 2)}


def compare(pairs: Sequence[Pair], predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare predictions with those of the log: labels, numbers, and the slices where most labels changed."""
    import numpy as np
    from scipy.stats import ks_2samp

    found: dict[str, Any] = {}
    if "prediction" in pairs[0][1] and not isinstance(pairs[0][1]["prediction"], float):
        flipped = [
            now["prediction"] != before["prediction"] for (_, before), now in zip(pairs, predictions, strict=True)
        ]
        found |= {"flips": round(sum(flipped) / len(flipped), 4), "slices": _slices(pairs, flipped)}
    name = "probability" if "probability" in pairs[0][1] else "prediction"
    numbers = [
        (before[name], now[name])
        for (_, before), now in zip(pairs, predictions, strict=True)
        if isinstance(before.get(name), int | float) and isinstance(now.get(name), int | float)
    ]
    if numbers:
        before, now = np.array(numbers, dtype=float).T
        change = np.abs(now - before)
        found |= {
            "shift": round(float(ks_2samp(before, now).statistic), 4),
            "p50_change": float(np.quantile(change, 0.5)),
            "p99_change": float(np.quantile(change, 0.99)),
        }
    return found


def _slices(pairs: Sequence[Pair], flipped: Sequence[bool]) -> list[dict[str, Any]]:
    """Return the slices of rows with one text in one column where most labels changed, the worst first."""
    counts: dict[tuple[str, str], list[int]] = {}
    for (instance, _), changed in zip(pairs, flipped, strict=True):
        for name, cell in instance.items():
            if isinstance(cell, str | bool):
                count = counts.setdefault((name, json.dumps(cell, ensure_ascii=False)[:60]), [0, 0])
                count[0] += 1
                count[1] += changed
    levels: dict[str, int] = {}
    for name, _ in counts:
        levels[name] = levels.get(name, 0) + 1
    told = [
        {"slice": f"{name} = {cell}", "rows": rows, "flips": round(flips / rows, 4)}
        for (name, cell), (rows, flips) in counts.items()
        if rows >= FEW and flips and levels[name] <= MAX_LEVELS
    ]
    return sorted(told, key=lambda each: (-float(str(each["flips"])), str(each["slice"])))[:SLICES]
