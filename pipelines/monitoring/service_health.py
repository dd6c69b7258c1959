"""How the processes of a model's services do: how busy they are, the memory they hold, how many versions there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pipelines.inference.service.client import usage_of
from pipelines.ledger import Ledger
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.spec import MonitorSpec

KIND = "process"
GB = 1e9

Ask = Callable[[str], dict[str, Any] | None]


def service_health(spec: MonitorSpec, ledger: Ledger, model: str, now: datetime, ask: Ask = usage_of) -> list[Finding]:
    """Ask each process of a model what it took, keep that, and judge it against the last look.

    Parameters
    ----------
    ask
        Returns what the process at an address took so far; None: it cannot be asked, which another check tells.
    """
    open_ones = [row for row in ledger.serving(model) if row.desired == "serve"]
    found = {
        usage["process"]: {**usage, "version": row.version}
        for row in open_ones
        for address in row.addresses
        if (usage := ask(address)) is not None
    }
    last = next(iter(ledger.windows(model, KIND, 1)), None)
    before = {} if last is None else last.figures["processes"]
    seconds = 0.0 if last is None else (now - last.ended_at).total_seconds()
    busy = {
        name: (one["cpu_seconds"] - before[name]["cpu_seconds"]) / seconds
        for name, one in found.items()
        if name in before and seconds > 0
    }
    if found and (last is None or now > last.ended_at):
        rows = sum(one["rows"] - before.get(name, {}).get("rows", 0) for name, one in found.items())
        figures = {
            "processes": found,
            "saturation": max(busy.values(), default=None),
            "memory": max(one["memory"] for one in found.values()),
        }
        started = now - timedelta(seconds=seconds)
        ledger.add_window(model, KIND, started_at=started, ended_at=now, rows=rows, figures=figures)
    return [
        _saturation(spec, model, busy, found),
        _memory(spec, model, found),
        _versions(spec, model, [row.version for row in open_ones]),
    ]


def _saturation(spec: MonitorSpec, model: str, busy: dict[str, float], found: dict[str, Any]) -> Finding:
    if not busy:
        message = "no process has been looked at twice"
        return Finding(model=model, kind="saturation", state="unknown", message=message)
    worst = max(busy, key=busy.__getitem__)
    share = busy[worst]
    return Finding(
        model=model,
        kind="saturation",
        state="alert" if share > spec.max_saturation else "ok",
        message=f"the busiest process, of version {found[worst]['version']}, used {share:.0%} of a core since the last "
        f"look (limit {spec.max_saturation:.0%})",
        value=share,
        advice="Ask for more instances of the version" if share > spec.max_saturation else "",
    )


def _memory(spec: MonitorSpec, model: str, found: dict[str, Any]) -> Finding:
    if not found:
        return Finding(model=model, kind="memory", state="unknown", message="no process tells what it holds")
    worst = max(found.values(), key=lambda one: one["memory"])
    held = worst["memory"] / GB
    return Finding(
        model=model,
        kind="memory",
        state="alert" if held > spec.max_service_gb else "ok",
        message=f"a process of version {worst['version']} holds {held:.2f} GB (limit {spec.max_service_gb:g} GB)",
        value=held,
    )


def _versions(spec: MonitorSpec, model: str, versions: Sequence[int]) -> Finding:
    many = len(versions) > spec.max_open_versions
    listed = ", ".join(map(str, sorted(versions))) or "none"
    return Finding(
        model=model,
        kind="versions",
        state="alert" if many else "ok",
        message=f"{len(versions)} versions are served: {listed} (limit {spec.max_open_versions})",
        value=float(len(versions)),
        advice="Has a release been left open? `aimass releases` tells" if many else "",
    )
