"""Tells which parts of the platform do not work yet."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from pipelines.local.components import all_components, components
from pipelines.local.executors import WORKER, worker_responds
from pipelines.settings import Settings

BEAT_SECONDS = 20
LOOK_SECONDS = 150
"""The watch over MLflow's aliases may be at work for so long: it proves a version before it follows."""
HEARTBEATS = {
    "scheduler": "airflow-scheduler",
    "dag_processor": "airflow-dag-processor",
    "triggerer": "airflow-triggerer",
}


def waiting_for(settings: Settings, since: float) -> list[str]:
    """Return the names of the parts that do not work, in the order of the platform's parts.

    Parameters
    ----------
    settings
        Of this installation.
    since
        Start of the platform, seconds since 1970: older heartbeats do not count.
    """
    working: set[str] = set()
    here = {part.name for part in components(settings)}
    asks_airflow = not here.isdisjoint(HEARTBEATS.values())
    with httpx.Client(timeout=2.0, trust_env=False, verify=settings.trusted) as client:
        for part in all_components(settings):
            asked = part.name in here or (part.name == "airflow-api" and asks_airflow)
            if part.health is None or not asked:
                continue
            response = _get(client, part.health)
            if response is None:
                continue
            working.add(part.name)
            if part.name == "airflow-api":
                working |= _with_heartbeat(response, since)
    if WORKER in here and worker_responds(settings):
        working.add(WORKER)
    if _beats(settings.controller_beat, since, BEAT_SECONDS):
        working.add("controller")
    if _beats(settings.alias_watch_beat, since, LOOK_SECONDS):
        working.add("alias-watch")
    return [part.name for part in components(settings) if part.name not in working]


def _get(client: httpx.Client, address: str) -> httpx.Response | None:
    try:
        response = client.get(address)
    except httpx.HTTPError:
        return None
    return response if response.status_code == 200 else None


def _with_heartbeat(response: httpx.Response, since: float) -> set[str]:
    """Return the Airflow parts whose latest heartbeat is healthy and not from an earlier run."""
    health: dict[str, Any] = response.json()
    found = set()
    for key, name in HEARTBEATS.items():
        facts = health.get(key) or {}
        beat = facts.get(f"latest_{key}_heartbeat")
        if facts.get("status") == "healthy" and beat and datetime.fromisoformat(beat).timestamp() >= since:
            found.add(name)
    return found


def _beats(file: Path, since: float, seconds: float) -> bool:
    try:
        beat = file.stat().st_mtime
    except OSError:
        return False
    return beat >= since and time.time() - beat < seconds
