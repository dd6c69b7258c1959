"""The checks, each with one result. A check that cannot look is an alert, never a silent success."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from pipelines import storage
from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.ledger.rows import ServiceRow, VersionRow
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.live_rows import LiveRows
from pipelines.monitoring.psi import column_index
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import Traffic, predicted_classes, predictions
from pipelines.settings import Settings

Probe = Callable[[str], str]
"""Probes an address; returns "" if it is ready, else what was seen instead."""


def gateway_ready(settings: Settings, probe: Probe) -> Finding:
    """Tell whether the prediction API is ready."""
    address = f"{settings.gateway_url}/readyz"
    seen = probe(address)
    return Finding(
        model=None,
        kind="gateway",
        state="alert" if seen else "ok",
        message=f"the gateway is not ready: {address} {seen}" if seen else "the gateway is ready",
    )


def service_ready(settings: Settings, champion: VersionRow, served: ServiceRow | None, probe: Probe) -> Finding:
    """Tell whether the live version is served and its bento says that it is ready."""
    version = f"version {champion.version}"
    if served is None or served.desired != "serve":
        seen = f"{version} is live, but nothing asks for it to be served"
    elif served.actual != "ready":
        seen = f"{version} is {served.actual}: {served.detail}".rstrip(": ")
    else:
        answers = {address: probe(address) for address in served.addresses or [""]}
        seen = "; ".join(f"{version} at {address} {answer}" for address, answer in answers.items() if answer)
    return Finding(
        model=champion.model, kind="service", state="alert" if seen else "ok", message=seen or f"{version} is ready"
    )


def error_rate(spec: MonitorSpec, model: str, traffic: Traffic, now: datetime) -> Finding:
    """Return the share of the last window's requests with status 5xx; each row of a request carries its status."""
    rows = traffic.since(now - timedelta(minutes=spec.error_window_minutes)).drop_duplicates("request_id")
    if len(rows) < spec.min_requests:
        return Finding(
            model=model,
            kind="errors",
            state="unknown",
            message=f"insufficient data: {len(rows)} requests in {spec.error_window_minutes} minutes, "
            f"{spec.min_requests} are needed",
        )
    rate = float((rows["status"] >= 500).mean())
    return Finding(
        model=model,
        kind="errors",
        state="alert" if rate > spec.max_error_rate else "ok",
        message=f"{rate:.1%} of {len(rows)} requests failed in {spec.error_window_minutes} minutes "
        f"(limit {spec.max_error_rate:.1%})",
        value=rate,
    )


def champion_age(spec: MonitorSpec, champion: VersionRow, now: datetime) -> Finding:
    """Return the days since the live version was made; a rollback does not reset them."""
    days = (now - champion.created_at).total_seconds() / 86_400
    return Finding(
        model=champion.model,
        kind="age",
        state="alert" if days > spec.max_age_days else "ok",
        message=f"version {champion.version} was made {days:.1f} days ago, on data as of {champion.as_of:%Y-%m-%d} "
        f"(limit {spec.max_age_days:g} days)",
        value=days,
    )


def log_readable(model: str, traffic: Traffic) -> Finding:
    """Tell whether the prediction log can be read: one torn file is what a killed writer leaves, more is damage."""
    return Finding(
        model=model,
        kind="log",
        state="alert" if traffic.unreadable > 1 else "ok",
        message=f"{traffic.unreadable} unreadable file(s) of the prediction log were skipped",
        value=float(traffic.unreadable),
    )


def cells_readable(spec: MonitorSpec, live: LiveRows) -> Finding:
    """Name the columns whose cells callers send in a form that cannot be read, such as a number with its unit."""
    model, rows = live.champion.model, live.rows
    if len(rows) < spec.min_requests:
        message = f"insufficient data: {len(rows)} logged rows, {spec.min_requests} are needed"
        return Finding(model=model, kind="cells", state="unknown", message=message)
    raw = live.raw
    shares = {
        str(name): float(cells.sum()) / sent
        for name, cells in live.unreadable.items()
        if name in raw.columns and (sent := int(raw[name].notna().sum()))
    }
    worst = max(shares.values(), default=0.0)
    named = sorted(((share, name) for name, share in shares.items() if share > spec.max_unreadable), reverse=True)
    if not named:
        message = f"at most {worst:.1%} of a column's cells over {len(rows)} rows could not be read"
        return Finding(model=model, kind="cells", state="ok", message=message, value=worst)
    listed = ", ".join(f"{name} ({share:.0%})" for share, name in named[: spec.named_columns])
    more = f" and {len(named) - spec.named_columns} more" if len(named) > spec.named_columns else ""
    message = f"unreadable cells, predicted as missing, over {len(rows)} rows: {listed}{more}"
    return Finding(model=model, kind="cells", state="alert", message=message, value=worst)


def input_drift(spec: MonitorSpec, ledger: Ledger, live: LiveRows) -> Finding:
    """Compare inputs and predictions with what the live version was trained on; all shifted columns make one alert.

    Private columns are left out: the log has a hash of their cells, or nothing.
    """
    champion, rows = live.champion, live.rows
    model = champion.model
    if len(rows) < spec.psi_min_rows:
        message = (
            f"insufficient data: {len(rows)} logged rows of version {champion.version}, {spec.psi_min_rows} are needed"
        )
        return Finding(model=model, kind="drift", state="unknown", message=message)
    reference = _reference(live.settings, ledger, champion)
    if not reference:
        return Finding(model=model, kind="drift", state="unknown", message="the night left no training reference")
    clean = live.clean
    left_out = [name for name in reference if name in live.private]
    indices = {
        name: column_index(entry, values)
        for name, entry in reference.items()
        if name not in left_out and (values := _values_of(name, entry["kind"], clean, rows)) is not None
    }
    shifted = sorted((-index, column) for column, index in indices.items() if index > spec.psi_threshold)
    worst = max(indices.values(), default=0.0)
    unseen = f"; {len(left_out)} private left out" if left_out else ""
    if not shifted:
        message = f"{len(indices)} columns over {len(clean)} rows, largest PSI {worst:.3f}{unseen}"
        return Finding(model=model, kind="drift", state="ok", message=message, value=worst)
    named = ", ".join(f"{column} (PSI {-index:.2f})" for index, column in shifted[: spec.named_columns])
    more = f" and {len(shifted) - spec.named_columns} more" if len(shifted) > spec.named_columns else ""
    message = f"{len(shifted)} of {len(indices)} columns shifted over {len(clean)} rows: {named}{more}{unseen}"
    return Finding(model=model, kind="drift", state="alert", message=message, value=worst)


def guarded(model: str | None, kind: Any, check: Callable[[], Finding]) -> Finding:
    """Run one check; an error in it becomes its finding and does not affect the other checks."""
    try:
        return check()
    except (AimassError, OSError, ValueError, KeyError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Finding(model=model, kind=kind, state="alert", message=f"this check could not be made: {text}")


def _reference(settings: Settings, ledger: Ledger, champion: VersionRow) -> Mapping[str, Any]:
    for row in ledger.stages(champion.model, champion.night):
        if row.stage == "evaluate" and row.ref:
            folder = storage.resolve(settings, row.ref["uri"])
            storage.verify(folder)
            path = folder / "reference.json"
            if path.is_file():
                reference: Mapping[str, Any] = json.loads(path.read_text())
                return reference
    return {}


def _values_of(name: str, kind: str, clean: pd.DataFrame, rows: pd.DataFrame) -> pd.Series | None:
    """Return what is compared with one entry of the reference: a column, or the model's own predictions."""
    if kind == "prediction":
        return predictions(rows)
    if kind == "predicted_class":
        return predicted_classes(rows)
    return clean[name] if name in clean.columns else None
