"""How the platform does: Airflow's parts and its queue, disk, ledger; of each model the nights and what they took."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from pipelines.errors import AimassError
from pipelines.inference.service.client import usage_of
from pipelines.inference.service.tls import Certificates
from pipelines.ledger import Ledger
from pipelines.ledger.nights import IMPORTED
from pipelines.monitoring.checks import guarded
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.service_health import service_health
from pipelines.monitoring.spec import MonitorSpec
from pipelines.settings import Settings

PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
GB = 1e9


def platform_health(settings: Settings, spec: MonitorSpec, ledger: Ledger, now: datetime) -> list[Finding]:
    """Return what there is to tell of the platform; a look that fails is a finding, too."""
    findings = [
        *guarded(None, "airflow", lambda: [airflow_parts(settings, spec)]),
        *guarded(None, "queue", lambda: [queue(settings, spec, now)]),
        *guarded(None, "disk", lambda: [disk(settings, spec)]),
        *guarded(None, "ledger", lambda: [history(settings, ledger)]),
    ]
    ask = partial(usage_of, certificates=Certificates.of(settings))
    for row in ledger.models():
        findings += guarded(row.name, "nights", partial(of_nights, spec, ledger, row.name, now))
        findings += guarded(row.name, "saturation", partial(service_health, spec, ledger, row.name, now, ask))
    return findings


def of_nights(spec: MonitorSpec, ledger: Ledger, model: str, now: datetime) -> list[Finding]:
    """Return what there is to tell of a model's nights."""
    return [nights(spec, ledger, model, now), stages(spec, ledger, model)]


def airflow_parts(settings: Settings, spec: MonitorSpec) -> Finding:
    """Tell which parts of Airflow do not work; where the platform was never started, nobody misses it."""
    address = f"{settings.airflow_url}/api/v2/monitor/health"
    try:
        response = httpx.get(address, timeout=spec.probe_seconds, trust_env=False, verify=settings.trusted)
        told: dict[str, Any] = response.json() if response.status_code == 200 else {}
        seen = "" if told else f"answered {response.status_code}"
    except (httpx.HTTPError, ValueError) as error:
        told, seen = {}, f"gave no answer ({type(error).__name__})"
        if not _has_airflow(settings):
            return Finding(model=None, kind="airflow", state="unknown", message=f"no Airflow was started here: {seen}")
    states = {part: (told.get(part) or {}).get("status") or "unknown" for part in (PARTS if told else ())}
    ill = [f"{part}: {state}" for part, state in states.items() if state != "healthy"]
    bad = seen or ", ".join(ill)
    return Finding(
        model=None,
        kind="airflow",
        state="alert" if bad else "ok",
        message=f"Airflow at {address}: {bad}" if bad else "all parts of Airflow are healthy",
        advice="`aimass status` tells which parts work, `aimass logs` what they say" if bad else "",
    )


def queue(settings: Settings, spec: MonitorSpec, now: datetime) -> Finding:
    """Tell how many of Airflow's tasks wait for their turn, and how long."""
    if not _has_airflow(settings):
        return Finding(model=None, kind="queue", state="unknown", message="there is no password of Airflow here")
    from pipelines.local.airflow_api import Airflow

    try:
        with Airflow(settings) as airflow:
            waiting = airflow.waiting_tasks()
    except (httpx.HTTPError, AimassError) as error:  # that it does not answer is told by another check
        text = f"Airflow's queue cannot be read: {str(error).splitlines()[0]}"
        return Finding(model=None, kind="queue", state="unknown", message=text)
    since = [datetime.fromisoformat(at) for one in waiting if (at := one.get("scheduled_when"))]
    hours = max(((now - at) / timedelta(hours=1) for at in since), default=0.0)
    late = hours > spec.max_queue_hours
    return Finding(
        model=None,
        kind="queue",
        state="alert" if late else "ok",
        message=f"{len(waiting)} tasks wait, the oldest for {hours:.1f} h (limit {spec.max_queue_hours:g} h)",
        value=hours,
        advice="Do nights take longer than there is time, or is a pool without slots?" if late else "",
    )


def _has_airflow(settings: Settings) -> bool:
    return (settings.secrets / "airflow_passwords.json").exists()


def disk(settings: Settings, spec: MonitorSpec) -> Finding:
    """Tell how much is free where data and backups lie."""
    free = {folder: shutil.disk_usage(folder) for folder in (settings.home, settings.backups) if folder.is_dir()}
    least: Path = min(free, key=lambda folder: free[folder].free)
    room = free[least]
    low = room.free < max(spec.min_free_gb * GB, spec.min_free_share * room.total)
    return Finding(
        model=None,
        kind="disk",
        state="alert" if low else "ok",
        message=f"{room.free / GB:.1f} of {room.total / GB:.1f} GB are free at {least} "
        f"(limit {spec.min_free_gb:g} GB and {spec.min_free_share:.0%})",
        value=room.free / GB,
        advice="Housekeeping removes what is old: start the DAG `housekeeping`; or move AIMASS_BACKUPS_FOLDER"
        if low
        else "",
    )


def history(settings: Settings, ledger: Ledger) -> Finding:
    """Tell whether the ledger can be read and the history of what was live is what was written."""
    broken = ledger.broken_history()
    size = settings.ledger_path.stat().st_size / 1e6 if settings.ledger_url is None else None
    return Finding(
        model=None,
        kind="ledger",
        state="ok" if broken is None else "alert",
        message=f"entry {broken.id} of the ledger's history was changed afterwards"
        if broken is not None
        else "the ledger's history is whole" + (f"; {size:.1f} MB" if size is not None else ""),
        advice="" if broken is None else "Restore a backup: `aimass backups`",
    )


def nights(spec: MonitorSpec, ledger: Ledger, model: str, now: datetime) -> Finding:
    """Tell when the last good night of a model was, and how many have failed since; imports are no nights."""
    known = ledger.nights(model)
    rows = [row for row in known if row.source != IMPORTED]
    if known and not rows:
        return Finding(model=model, kind="nights", state="ok", message="it has no nights: its versions were imported")
    good = [row for row in rows if row.state == "success"]
    newest = max((row.started_at for row in good), default=None)
    failed = sum(row.state == "failed" and (newest is None or row.started_at > newest) for row in rows)
    days = None if newest is None else (now - newest) / timedelta(days=1)
    when = "there was no good night yet" if days is None else f"the last good night was {days:.1f} days ago"
    bad = failed >= spec.max_failed_nights
    return Finding(
        model=model,
        kind="nights",
        state="alert" if bad else "ok" if newest is not None else "unknown",
        message=f"{when}; {failed} failed since (limit {spec.max_failed_nights - 1})",
        value=days,
        advice=f"`aimass nights {model}` tells why each failed" if bad else "",
    )


def stages(spec: MonitorSpec, ledger: Ledger, model: str) -> Finding:
    """Tell what the tasks of a model's newest night took, and whether one came near the memory of this machine."""
    taken = [row for row in ledger.task_usage(model) if row.night is not None]
    if not taken:
        return Finding(model=model, kind="stages", state="unknown", message="no night has been measured yet")
    of_night = [row for row in taken if row.night == taken[-1].night]
    cpu, gpu = sum(row.cpu_seconds for row in of_night), sum(row.gpu_seconds for row in of_night)
    largest = max(of_night, key=lambda row: row.peak_memory)
    share = largest.peak_memory / psutil.virtual_memory().total
    return Finding(
        model=model,
        kind="stages",
        state="alert" if share > spec.max_stage_memory else "ok",
        message=f"night {taken[-1].night} took {cpu:.0f} CPU-seconds and {gpu:.0f} GPU-seconds; {largest.stage} held "
        f"{largest.peak_memory / GB:.2f} GB, {share:.0%} of the machine (limit {spec.max_stage_memory:.0%})",
        value=share,
        advice="Set AIMASS_MEMORY_GB or AIMASS_CORES lower, or sample fewer rows"
        if share > spec.max_stage_memory
        else "",
    )
