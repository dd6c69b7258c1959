"""The pages of one model: what is live and why, its versions, and its lineage."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from aimass_airflow.model_center.lineage import draw
from aimass_airflow.model_center.lines import score_chart
from aimass_airflow.model_center.rights import DAG_OF, NEEDS
from aimass_airflow.model_center.visits import Visit
from aimass_airflow.model_center.yours import note
from pipelines.ledger.rows import VersionRow
from pipelines.metrics import METRICS

NIGHTS = 10
"""Nights in the table of the overview."""
EVENTS = 12
EARLIER = 50
"""Versions that can be chosen for a rollback here; any can on the page of versions."""
PER_PAGE = 25
TABS = (
    ("", "Overview"),
    ("about", "About"),
    ("versions", "Versions"),
    ("lineage", "Lineage"),
    ("ask", "Ask"),
    ("call", "Call"),
    ("operation", "Operation"),
    ("documents", "Documents"),
)
OF_MODEL = tuple(name for name in NEEDS if name != "ask")


@dataclass(frozen=True)
class Event:
    """Something that happened to a model."""

    at: datetime
    what: str
    who: str
    why: str
    outcome: str


def frame(visit: Visit, tab: str) -> dict[str, Any]:
    """Return what every page of a model shows: its name, what is live and why, what may be done."""
    ledger, name = visit.ledger, visit.model.name
    note(visit)
    live = ledger.champion(name)
    switches = ledger.switches(name, most=1)
    return {
        "model": visit.model,
        "live": live,
        "switch": switches[0] if switches else None,
        "sentence": sentence(live, switches[0] if switches else None),
        "gain": _gain(live),
        "paused": ledger.paused().get(name),
        "archived": ledger.archived(name),
        "nights_paused": visit.center.airflow.nights_paused(f"{DAG_OF}{name}"),
        "dag_id": f"{DAG_OF}{name}",
        "mark": str(ledger.mark(name)),
        "may": {action: visit.may(action) for action in NEEDS},
        "tabs": TABS,
        "tab": tab,
        "here": "models",
    }


def sentence(live: VersionRow | None, switch: Any) -> str:
    """Return what is live and why, in one sentence."""
    if live is None:
        return "No version is live: callers get status 404 until a night is promoted."
    since = f"since {live.live_at:%Y-%m-%d %H:%M} UTC" if live.live_at else ""
    told = f"Version {live.version} is live {since}"
    if switch is None or switch.to_version != live.version:
        return f"{told}."
    if not switch.actor.startswith("deploy"):
        kind, _, who = switch.actor.partition(":")
        return f"{told}: {kind} by {who or kind}, because “{switch.why}”."
    verdict = (live.verdict or {}).get("sentence") or switch.why
    return f"{told}. {verdict}"


def overview(visit: Visit) -> Response:
    """``GET /models/NAME``."""
    ledger, name = visit.ledger, visit.model.name
    facts = frame(visit, "")
    nights, versions = ledger.night_line(name), ledger.score_line(name)
    return visit.page(
        "overview.html.jinja",
        **facts,
        chart=score_chart(nights, versions),
        nights=nights[: -NIGHTS - 1 : -1],
        earlier=[row for row in versions[::-1] if row.live_at and row.state != "live"][:EARLIER],
        versions={row.night: row for row in versions},
        alerts=alert_lines(visit, ledger.open_alerts_of(name)),
        events=events(visit),
        services=[row for row in ledger.serving(name) if row.desired == "serve"],
    )


def events(visit: Visit) -> list[Event]:
    """Return what happened lately: switches of what is live, and what people did."""
    name = visit.model.name
    switches = [
        Event(row.at, f"version {row.to_version} live (was {row.from_version or 'none'})", row.actor, row.why, "done")
        for row in visit.ledger.switches(name, most=EVENTS)
    ]
    acts = [
        Event(row.at, told(row.kind, row.about), row.actor, row.why, row.outcome)
        for row in visit.ledger.actions(name, most=EVENTS)
    ]
    return heapq.nlargest(EVENTS, [*switches, *acts], key=lambda event: event.at)


def told(kind: str, about: dict[str, Any]) -> str:
    """Return an action in words."""
    what = kind.replace("-", " ")
    named = ("version", "alert", "run", "until", "silence")
    facts = [f"{name} {about[name]}" for name in named if about.get(name) is not None]
    return f"{what}: {', '.join(facts)}" if facts else what


def alert_lines(visit: Visit, rows: list[Any]) -> list[dict[str, Any]]:
    """Return alerts with who acknowledged them and until when they are silent."""
    silences, moment = visit.ledger.silences(), datetime.now(UTC)
    models = {row.model or "" for row in rows}
    seen: dict[int, Any] = {}
    for model in models:
        for act in visit.ledger.actions(model, most=200):
            if act.kind == "acknowledge":
                seen.setdefault(int(act.about.get("alert") or 0), act)
    return [
        {
            "row": row,
            "acknowledged": seen.get(row.id),
            "silence": max((each for each in silences if each.covers(row, moment)), key=lambda s: s.until, default=None)
            if row.resolved_at is None
            else None,
        }
        for row in rows
    ]


def versions(visit: Visit) -> Response:
    """``GET /models/NAME/versions``: all of them, the newest first, 25 a page."""
    rows = visit.ledger.score_line(visit.model.name)[::-1]
    pages = max(1, -(-len(rows) // PER_PAGE))
    text = visit.request.query_params.get("page", "1")
    page = min(int(text), pages) if text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) else 1
    part = rows[(page - 1) * PER_PAGE : page * PER_PAGE]
    left, right = _pair(visit, rows)
    return visit.page(
        "versions.html.jinja",
        **frame(visit, "versions"),
        rows=part,
        total=len(rows),
        page=page,
        pages=pages,
        left=left,
        right=right,
        served={row.version: row for row in visit.ledger.serving(visit.model.name)},
    )


def _pair(visit: Visit, rows: list[Any]) -> tuple[int | None, int | None]:
    """Return the versions that are chosen for a comparison: those of the address, else the newest and the live one."""
    numbers = {row.version for row in rows}
    asked = [visit.request.query_params.get(name, "") for name in ("a", "b")]
    if all(text.isascii() and text.isdigit() and len(text) < 10 and int(text) in numbers for text in asked):
        return int(asked[0]), int(asked[1])
    newest = max(numbers, default=None)
    live = next((row.version for row in rows if row.state == "live"), None)
    earlier = sorted(number for number in numbers if number != newest)
    return newest, live if live is not None and live != newest else earlier[-1] if earlier else None


def gate(visit: Visit) -> Response:
    """``GET /models/NAME/parts/gate?version=N``: what the gate said of a version, and the form that makes it live."""
    row = visit.ledger.version(visit.model.name, visit.number("version"))
    if row is None:
        raise HTTPException(404, "no such version")
    was_live = row.live_at is not None
    return visit.page(
        "parts/gate.html.jinja",
        **frame(visit, "versions"),
        row=row,
        verdict=row.verdict or {},
        action="rollback" if was_live else "promote",
    )


def lineage(visit: Visit) -> Response:
    """``GET /models/NAME/lineage``: from the sources to the callers of the live version, or of another one."""
    ledger, name = visit.ledger, visit.model.name
    facts = frame(visit, "lineage")
    asked = visit.request.query_params.get("version")
    row = ledger.version(name, visit.number("version")) if asked else facts["live"] or _newest(visit)
    if asked and row is None:
        raise HTTPException(404, "no such version")
    picture = None
    if row is not None:
        callers = ledger.usage_of(name, (datetime.now(UTC) - timedelta(days=30)).date())
        picture = draw(name, row, ledger.stages(name, row.night), ledger.serving(name), callers)
    return visit.page("lineage.html.jinja", **facts, row=row, picture=picture)


def _newest(visit: Visit) -> VersionRow | None:
    rows = visit.ledger.score_line(visit.model.name)
    return visit.ledger.version(visit.model.name, rows[-1].version) if rows else None


def _gain(row: VersionRow | None) -> float | None:
    if row is None or row.score is None or row.baseline is None or row.metric not in METRICS:
        return None
    return METRICS[row.metric].sign * (row.score - row.baseline) + 0.0


def of_dag(visit: Visit) -> Response:
    """``GET /dag/DAG_ID``: the model of a DAG, or for an operation the page of operations."""
    dag_id = visit.path("dag_id")
    name = dag_id.removeprefix(DAG_OF)
    if dag_id.startswith(DAG_OF) and visit.ledger.model(name) is not None:
        return visit.redirect(f"/models/{name}")
    return visit.redirect("/operations" if not dag_id.startswith(DAG_OF) else "/")
