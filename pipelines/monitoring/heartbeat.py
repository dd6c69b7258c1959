"""The monitor's heartbeat: when it last looked to the end, for whoever tells that it has stopped."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.artifacts import write_json
from pipelines.monitoring.findings import Finding
from pipelines.settings import Settings, make_private

FILE = "monitor-heartbeat.json"
INTERVAL = timedelta(minutes=15)
"""The schedule of the monitor."""


def beat(settings: Settings, now: datetime) -> None:
    """Note that the monitor has looked at everything."""
    write_json(_path(settings), {"at": now.astimezone(UTC).isoformat()})


def last_beat(settings: Settings) -> datetime | None:
    """Return when the monitor last looked at everything; None: never, or its note cannot be read."""
    try:
        return datetime.fromisoformat(json.loads(_path(settings).read_text())["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def overdue(settings: Settings, now: datetime, interval: timedelta = INTERVAL) -> Finding:
    """Tell whether the monitor has missed two looks: for something else than the monitor to ask and to settle."""
    at = last_beat(settings)
    late = at is None or now - at > 2 * interval
    seen = "never looked" if at is None else f"last looked at {at:%Y-%m-%d %H:%M} UTC"
    return Finding(
        model=None,
        kind="monitor",
        state="alert" if late else "ok",
        message=f"the monitor {seen}"
        + (f"; it is due every {interval.total_seconds() / 60:g} minutes" if late else ""),
        advice="Is the DAG `monitor` paused, is Airflow running? `aimass status`" if late else "",
    )


def _path(settings: Settings) -> Path:
    return make_private(settings.run_dir) / FILE
