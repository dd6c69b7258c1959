"""How a model does: drift and performance over time, its services and callers, alerts, cost, logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from aimass_airflow.model_center.model_page import alert_lines, frame
from aimass_airflow.model_center.visits import Visit
from pipelines.costs import as_dicts, costs_of
from pipelines.gateway.prices import Prices
from pipelines.ledger.rows import WindowRow

WINDOWS = 60
"""Newest windows that are drawn."""
WORST = 4
"""Columns with a line of their own."""
WHOLE = "(model)"
DAYS = 30
LINES = 200
PSI = 0.1


def show(visit: Visit) -> Response:
    """``GET /models/NAME/operation``."""
    name = visit.model.name
    since = (datetime.now(UTC) - timedelta(days=DAYS)).date()
    return visit.page(
        "operation.html.jinja",
        **frame(visit, "operation"),
        alerts=alert_lines(visit, visit.ledger.alerts_of(name)),
        callers=visit.ledger.usage_of(name, since),
        days=DAYS,
        served=[row for row in visit.ledger.serving(name) if row.actual != "absent" or row.desired == "serve"],
    )


def live(visit: Visit) -> Response:
    """``GET /models/NAME/parts/live``: response times, requests and errors as the gateway counts them, instances."""
    name = visit.model.name
    served = [row for row in visit.ledger.serving(name) if row.desired == "serve"]
    since = (datetime.now(UTC) - timedelta(days=1)).date()
    calls = visit.ledger.usage_of(name, since)
    return visit.page(
        "parts/live.html.jinja",
        model=visit.model,
        figures=visit.center.gateway.live(name),
        served=served,
        route=visit.ledger.route(name),
        requests=sum(row[1] for row in calls),
        errors=sum(row[2] for row in calls),
        since=since,
    )


def charts(visit: Visit) -> Response:
    """``GET /models/NAME/parts/charts``: drift, performance, errors and response times, window by window."""
    ledger, name = visit.ledger, visit.model.name
    inputs, scores, labelled, service = (
        ledger.windows(name, kind, WINDOWS) for kind in ("inputs", "estimate", "labels", "service")
    )
    champion = ledger.champion(name)
    level = champion.score if champion is not None else None
    found = [
        chart("Drift of the inputs (PSI)", _drift(inputs), ("smallest that counts", PSI)),
        chart(
            f"Performance ({(champion.metric if champion else None) or 'score'})",
            [("realised", _scores(labelled, "realised")), ("estimated", _scores(scores, "estimated"))],
            None if level is None else ("on sealed rows", level),
        ),
        chart("Errors (share of requests)", [("errors", _figures(service, "errors"))], None),
        chart("Response time (ms)", [("p50", _figures(service, "p50")), ("p95", _figures(service, "p95"))], None),
    ]
    return visit.page(
        "parts/charts.html.jinja",
        model=visit.model,
        charts=[each for each in found if each["x"]],
        last=inputs[-1] if inputs else None,
        drifted=sorted({c for kind in inputs[-1].figures.get("verdict", {}).values() for c in kind}) if inputs else [],
    )


def chart(title: str, lines: Sequence[tuple[str, Any]], level: tuple[str, float] | None) -> dict[str, Any]:
    """Return the data of a chart: ``title``, ``x`` in seconds, ``series`` [{label, kind, values}]."""
    lines = [(label, dict(points)) for label, points in lines if points]
    x = sorted({at for _, points in lines for at in points})
    series = [{"label": label, "kind": "line", "values": [points.get(at) for at in x]} for label, points in lines]
    if level is not None and x:
        series.append({"label": level[0], "kind": "level", "values": [level[1]] * len(x)})
    return {"title": title, "x": x, "series": series}


def cost(visit: Visit) -> Response:
    """``GET /models/NAME/parts/cost``: what versions took to train and to serve, as `aimass cost` tells it."""
    prices = Prices.load(visit.settings.home)
    lines = as_dicts(costs_of(visit.ledger, visit.model.name, prices.cpu_hour, prices.gpu_hour))
    shown = [*lines[:-1][-20:], lines[-1]]
    return visit.page(
        "parts/cost.html.jinja",
        model=visit.model,
        lines=shown,
        left_out=len(lines) - len(shown),
        currency=prices.currency if prices.cpu_hour or prices.gpu_hour else None,
    )


def log(visit: Visit) -> Response:
    """``GET /models/NAME/parts/log?version=N``: the end of the log of a version's service."""
    number = visit.number("version")
    path = visit.settings.logs / f"bento-{visit.model.name}-v{number}.log"
    if not path.is_file():
        raise HTTPException(404, f"version {number} has no log: it was not served by this machine")
    with path.open(encoding="utf-8", errors="replace") as stream:
        lines = list(deque(stream, maxlen=LINES))
    return visit.page("parts/log.html.jinja", title=path.name, text="".join(lines), most=LINES)


def _drift(windows: Sequence[WindowRow]) -> list[tuple[str, list[tuple[float, float]]]]:
    worst: dict[str, float] = {}
    for window in windows:
        for name, one in window.figures["columns"].items():
            worst[name] = max(worst.get(name, 0.0), one["psi"])
    return [
        (
            name,
            [
                (w.ended_at.timestamp(), w.figures["columns"][name]["psi"])
                for w in windows
                if name in w.figures["columns"]
            ],
        )
        for name in sorted(worst, key=lambda name: -worst[name])[:WORST]
    ]


def _scores(windows: Sequence[WindowRow], name: str) -> list[tuple[float, float]]:
    found = [(window.ended_at.timestamp(), window.figures["columns"].get(WHOLE, {}).get(name)) for window in windows]
    return [(at, value) for at, value in found if value is not None]


def _figures(windows: Sequence[WindowRow], name: str) -> list[tuple[float, float]]:
    found = [(window.ended_at.timestamp(), window.figures.get(name)) for window in windows]
    return [(at, value) for at, value in found if value is not None]
