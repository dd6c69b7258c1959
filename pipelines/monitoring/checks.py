"""The checks, each with one result. A check that cannot look is an alert, never a silent success."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pyarrow import ArrowException

from pipelines.errors import AimassError
from pipelines.ledger.rows import ServiceRow, VersionRow
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.seen import Seen
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import Traffic
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
    """Return the days since the live version was made; a rollback does not reset them. An imported one may be old."""
    days = (now - champion.created_at).total_seconds() / 86_400
    old, made = days > spec.max_age_days, f"was made {days:.1f} days ago, on data as of {champion.as_of:%Y-%m-%d}"
    if "imported" in (champion.verdict or {}):  # no night makes a newer one
        old, made = False, f"was imported {days:.1f} days ago"
    return Finding(
        model=champion.model,
        kind="age",
        state="alert" if old else "ok",
        message=f"version {champion.version} {made} (limit {spec.max_age_days:g} days)",
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


def cells_readable(spec: MonitorSpec, model: str, seen: Seen, inside: Any) -> Finding:
    """Name the columns whose cells callers send in a form that cannot be read, such as a number with its unit.

    Parameters
    ----------
    inside
        (n,) which of the seen rows are looked at.
    """
    rows = int(inside.sum())
    if rows < spec.min_requests:
        message = f"insufficient data: {rows} logged rows, {spec.min_requests} are needed"
        return Finding(model=model, kind="cells", state="unknown", message=message)
    shares = {
        name: float(cells[inside].sum()) / sent
        for name, cells in seen.unreadable.items()
        if name in seen.sent and (sent := int(seen.sent[name][inside].sum()))
    }
    worst = max(shares.values(), default=0.0)
    named = sorted(((share, name) for name, share in shares.items() if share > spec.max_unreadable), reverse=True)
    if not named:
        message = f"at most {worst:.1%} of a column's cells over {rows} rows could not be read"
        return Finding(model=model, kind="cells", state="ok", message=message, value=worst)
    listed = ", ".join(f"{name} ({share:.0%})" for share, name in named[: spec.named_columns])
    more = f" and {len(named) - spec.named_columns} more" if len(named) > spec.named_columns else ""
    return Finding(
        model=model,
        kind="cells",
        state="alert",
        message=f"unreadable cells, predicted as missing, over {rows} rows: {listed}{more} "
        f"(limit {spec.max_unreadable:.0%})",
        value=worst,
        about=tuple(sorted(name for _, name in named)),
        advice="Ask the callers: a unit, a word, another notation",
    )


BROKEN = (AimassError, OSError, ValueError, KeyError, ArrowException)
"""What a check that cannot look ends with."""


def guarded(model: str | None, kind: Any, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Run one check; an error in it becomes its finding and does not affect the other checks."""
    try:
        return check()
    except BROKEN as error:
        return [not_made(model, kind, error)]


def not_made(model: str | None, kind: Any, error: Exception) -> Finding:
    """Return the finding of a check that ended with an error."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Finding(model=model, kind=kind, state="alert", message=f"this check could not be made: {text}")
