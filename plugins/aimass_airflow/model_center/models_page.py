"""The page of all models: search, filters, order, and of each what is live, how good it is and how it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from aimass_airflow.model_center.lines import Spark, spark
from aimass_airflow.model_center.visits import Visit
from pipelines.ledger.overview import OverviewRow
from pipelines.metrics import METRICS

PER_PAGE = 50
LONGEST_SEARCH = 100
STATES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "live": ("live", lambda row: row.live is not None),
    "not-live": ("nothing live", lambda row: row.live is None),
    "failed": ("last night failed", lambda row: row.state == "failed"),
    "running": ("night running", lambda row: row.state == "running"),
    "alerts": ("with open alerts", lambda row: row.alerts > 0),
}
SCORES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "better": ("better than the baseline", lambda row: (gain(row) or 0.0) > 0),
    "worse": ("not better than the baseline", lambda row: _or_most(gain(row)) <= 0),
    "none": ("without a score", lambda row: row.score is None),
}
_NEVER = datetime.min.replace(tzinfo=UTC)
ORDERS: dict[str, tuple[str, Callable[[Any], Any], bool]] = {
    "name": ("name", lambda row: row.name, False),
    "gain": ("gain over the baseline", lambda row: _or_least(gain(row)), True),
    "score": ("score", lambda row: _or_least(row.score), True),
    "night": ("newest night", lambda row: row.as_of or _NEVER, True),
    "live": ("live since", lambda row: row.live_at or _NEVER, True),
    "requests": ("requests", lambda row: row.requests, True),
    "errors": ("errors", lambda row: row.errors, True),
    "alerts": ("open alerts", lambda row: row.alerts, True),
}


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    row: OverviewRow
    gain: float | None
    spark: Spark | None
    drift: list[str] | None
    drift_at: datetime | None
    paused: str | None


def gain(row: OverviewRow) -> float | None:
    """Return how much better than the baseline a model is, in its metric; None where that is not known."""
    if row.score is None or row.baseline is None or row.metric not in METRICS:
        return None
    return METRICS[row.metric].sign * (row.score - row.baseline) + 0.0


def show(visit: Visit) -> Response:
    """``GET /``: the page, or for htmx its table alone."""
    asked = visit.request.query_params
    found = {name: asked.get(name, "") for name in ("q", "task", "state", "score", "sort")}
    since = (datetime.now(UTC) - timedelta(days=1)).date()
    rows = visit.ledger.overview(since)
    seen = visit.visible([row.name for row in rows])
    rows = [row for row in rows if row.name in seen]
    tasks = sorted({row.task for row in rows})
    chosen = [row for row in rows if _fits(row, found)]
    _, key, down = ORDERS.get(found["sort"], ORDERS["name"])
    chosen.sort(key=key, reverse=down)
    pages = max(1, -(-len(chosen) // PER_PAGE))
    text = asked.get("page", "1")
    page = min(int(text), pages) if text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) else 1
    lines = _lines(visit, chosen[(page - 1) * PER_PAGE : page * PER_PAGE])
    facts: dict[str, Any] = {
        "lines": lines,
        "total": len(rows),
        "count": len(chosen),
        "page": page,
        "pages": pages,
        "found": found,
        "query": urlencode({name: value for name, value in found.items() if value}),
        "since": since,
        "favourites": {row.model for row in visit.ledger.preferences(visit.who) if row.favourite_at is not None},
    }
    if visit.part and visit.request.headers.get("HX-Target") == "models":
        return visit.page("parts/models.html.jinja", **facts)
    return visit.page(
        "models.html.jinja", tasks=tasks, states=STATES, scores=SCORES, orders=ORDERS, here="models", **facts
    )


def _fits(row: OverviewRow, found: dict[str, str]) -> bool:
    words = found["q"][:LONGEST_SEARCH].casefold().split()
    text = f"{row.name} {row.task} {row.owner or ''} {row.metric or ''}".casefold()
    state, score = STATES.get(found["state"]), SCORES.get(found["score"])
    return (
        all(word in text for word in words)
        and found["task"] in ("", row.task)
        and (state is None or state[1](row))
        and (score is None or score[1](row))
    )


def _lines(visit: Visit, rows: list[OverviewRow]) -> list[Line]:
    names = [row.name for row in rows]
    scores, drifts, paused = visit.ledger.newest_scores(names), visit.ledger.last_verdicts(names), visit.ledger.paused()
    lines = []
    for row in rows:
        ended, verdict = drifts.get(row.name, (None, None))
        columns = None if verdict is None else sorted({name for kind in verdict.values() for name in kind})
        lines.append(Line(row, gain(row), spark(scores[row.name]), columns, ended, paused.get(row.name)))
    return lines


def _or_least(value: float | None) -> float:
    return float("-inf") if value is None else value


def _or_most(value: float | None) -> float:
    return float("inf") if value is None else value
