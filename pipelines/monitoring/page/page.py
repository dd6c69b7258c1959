"""Makes the page of a model's operation from the windows that the ledger keeps and the findings of this look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.html_pages import show_operation
from pipelines.ledger.rows import WindowRow
from pipelines.monitoring.drift.verdict import KINDS
from pipelines.monitoring.drift.window import KIND as INPUTS
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.page.charts import HEIGHT, WIDTH, Line, TimeLine, bars
from pipelines.monitoring.performance.estimated import KIND as ESTIMATE
from pipelines.monitoring.performance.estimated import WHOLE
from pipelines.monitoring.performance.realised import KIND as LABELS
from pipelines.monitoring.service import KIND as SERVICE
from pipelines.monitoring.spec import MonitorSpec

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "operation.html.jinja"
WORST = 4
"""Columns with a line of their own."""
SHOWN = 24
"""Columns whose distributions are drawn."""


def publish(spec: MonitorSpec, live: LiveModel, findings: Sequence[Finding], now: datetime) -> Path:
    """Write a model's page; return its path."""
    page = _environment().get_template(TEMPLATE).render(**gather(spec, live, findings, now))
    return show_operation(page, live.settings.docs, live.name)


def gather(spec: MonitorSpec, live: LiveModel, findings: Sequence[Finding], now: datetime) -> dict[str, Any]:
    """Return what the page shows."""
    ledger, model = live.ledger, live.name
    inputs, scores = ledger.windows(model, INPUTS), ledger.windows(model, ESTIMATE)
    labelled, service = ledger.windows(model, LABELS), ledger.windows(model, SERVICE)
    last = inputs[-1] if inputs else None
    columns: dict[str, Any] = last.figures["columns"] if last is not None else {}
    verdict = last.figures["verdict"] if last is not None else {}
    told = {name for kind in KINDS for name in verdict.get(kind, ())}
    marked = [name for name, one in columns.items() if one["shows"] or name in told]
    ordered = sorted(columns, key=lambda name: (name not in told, name not in marked, -columns[name]["psi"]))
    return {
        "model": model,
        "now": now,
        "version": live.champion.version,
        "as_of": live.champion.as_of,
        "findings": findings,
        "alerts": [row for row in ledger.alerts() if row.model == model],
        "advice": {finding.text: finding for finding in findings if finding.advice},
        "window": last,
        "charts": [chart for chart in _charts(spec, live, inputs, scores, labelled, service) if not chart.empty],
        "columns": [(name, columns[name], name in told, name in marked) for name in ordered],
        "shown": [(name, columns[name], bars(columns[name])) for name in ordered if name in marked][:SHOWN],
        "width": WIDTH,
        "height": HEIGHT,
        "threshold": spec.psi_threshold,
    }


def _charts(
    spec: MonitorSpec,
    live: LiveModel,
    inputs: Sequence[WindowRow],
    scores: Sequence[WindowRow],
    labelled: Sequence[WindowRow],
    service: Sequence[WindowRow],
) -> list[TimeLine]:
    worst: dict[str, float] = {}
    for window in inputs:
        for name, one in window.figures["columns"].items():
            worst[name] = max(worst.get(name, 0.0), one["psi"])
    drift = [
        Line(
            name,
            [(w.ended_at, w.figures["columns"][name]["psi"], None) for w in inputs if name in w.figures["columns"]],
        )
        for name in sorted(worst, key=lambda name: -worst[name])[:WORST]
    ]
    metric, score = live.champion.metric or "score", live.champion.score
    performance = [Line("realised", _scores(labelled, "realised")), Line("estimated", _scores(scores, "estimated"))]
    return [
        TimeLine("Drift of the inputs", "PSI", drift, spec.psi_threshold, "smallest that counts", 0.0),
        TimeLine("Performance", metric, performance, score, "on sealed rows"),
        TimeLine("Errors", "share of requests", [_service(service, "errors")], spec.max_error_rate, "limit", 0.0),
        TimeLine("Response time", "ms", [_service(service, "p50"), _service(service, "p95")], floor=0.0),
    ]


def _scores(windows: Sequence[WindowRow], name: str) -> list[tuple[datetime, float, float | None]]:
    found = [(window.ended_at, window.figures["columns"][WHOLE]) for window in windows]
    return [(at, one[name], one["error"]) for at, one in found if one.get(name) is not None]


def _service(windows: Sequence[WindowRow], name: str) -> Line:
    found = [(window.ended_at, window.figures.get(name), None) for window in windows]
    return Line(name, [(at, value, none) for at, value, none in found if value is not None])


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipelines.monitoring.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pct"] = lambda share: f"{share:.1%}"
    environment.filters["g"] = lambda value: f"{value:.4g}"
    environment.filters["at"] = lambda moment: f"{moment:%Y-%m-%d %H:%M}"
    environment.filters["n"] = lambda value: f"{value:,}"
    return environment
