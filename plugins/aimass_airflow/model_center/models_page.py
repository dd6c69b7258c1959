"""The page of all models: search, filters, order, and of each what is live, how good it is and how it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from aimass_airflow.model_center.exchange import offers_import
from aimass_airflow.model_center.lines import Spark, spark
from aimass_airflow.model_center.visits import Visit
from pipelines.catalog.entries import Entry, entry
from pipelines.catalog.search import Filter, rank, words_of
from pipelines.ledger.catalog_rows import CatalogRow
from pipelines.ledger.overview import OverviewRow
from pipelines.metrics import METRICS

PER_PAGE = 30
CHOICES = 200
"""Values of a filter that can be chosen."""
ARCHIVED = "archived"
STATES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "live": ("live", lambda row: row.live is not None),
    "not-live": ("nothing live", lambda row: row.live is None),
    "failed": ("last night failed", lambda row: row.state == "failed"),
    "running": ("night running", lambda row: row.state == "running"),
    "alerts": ("with open alerts", lambda row: row.alerts > 0),
    ARCHIVED: ("archived", lambda _: True),
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
    entry: Entry
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
    found = {name: asked.get(name, "") for name in ("q", "task", "domain", "tag", "owner", "state", "score", "sort")}
    since = (datetime.now(UTC) - timedelta(days=1)).date()
    rows = visit.ledger.overview(since)
    seen = visit.visible([row.name for row in rows])
    words = words_of(found["q"])
    said = _entries(visit, rows, texts=bool(words))
    archived = found["state"] == ARCHIVED
    rows = [row for row in rows if row.name in seen and bool(said[row.name].archived) == archived]
    entries = [said[row.name] for row in rows]
    wanted = Filter(found["domain"], found["tag"], found["owner"], archived)
    chosen = [row for row in rows if _fits(row, found) and wanted.fits(said[row.name])]
    if words:
        chosen = _ranked(visit, words, chosen, said)
    if found["sort"] or not words:  # what fits best is first, unless another order is asked for
        _, key, down = ORDERS.get(found["sort"], ORDERS["name"])
        chosen.sort(key=key, reverse=down)
    pages = max(1, -(-len(chosen) // PER_PAGE))
    text = asked.get("page", "1")
    page = min(int(text), pages) if text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) else 1
    lines = _lines(visit, chosen[(page - 1) * PER_PAGE : page * PER_PAGE], said)
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
    choices = {
        "task": sorted({row.task for row in rows}),
        "domain": sorted({entry.domain for entry in entries if entry.domain})[:CHOICES],
        "tag": sorted({each for entry in entries for each in entry.tags})[:CHOICES],
        "owner": sorted({entry.owner for entry in entries if entry.owner})[:CHOICES],
    }
    facts |= {"choices": choices, "states": STATES, "scores": SCORES, "orders": ORDERS}
    return visit.page("models.html.jinja", here="models", imports=offers_import(visit), **facts)


def _entries(visit: Visit, rows: list[OverviewRow], texts: bool) -> dict[str, Entry]:
    """Return what is said of each model, in two statements; the long texts only where they are searched."""
    said, ratings = visit.ledger.catalog_rows(texts), visit.ledger.mean_ratings()
    return {
        row.name: entry(
            row.name,
            {"task": row.task, "owner": row.owner},
            said.get(row.name) or CatalogRow(row.name),
            ratings.get(row.name),
        )
        for row in rows
    }


def _ranked(visit: Visit, words: list[str], rows: list[OverviewRow], said: dict[str, Entry]) -> list[OverviewRow]:
    """Return the rows in which every word is found, the best first."""
    notes, by_name = visit.ledger.note_texts(), {row.name: row for row in rows}
    found = ((said[row.name], f"{row.metric or ''}\n{notes.get(row.name, '')}") for row in rows)
    return [by_name[hit.entry.model] for hit in rank(words, found)]


def _fits(row: OverviewRow, found: dict[str, str]) -> bool:
    state, score = STATES.get(found["state"]), SCORES.get(found["score"])
    return found["task"] in ("", row.task) and (state is None or state[1](row)) and (score is None or score[1](row))


def _lines(visit: Visit, rows: list[OverviewRow], said: dict[str, Entry]) -> list[Line]:
    names = [row.name for row in rows]
    scores, drifts, paused = visit.ledger.newest_scores(names), visit.ledger.last_verdicts(names), visit.ledger.paused()
    lines = []
    for row in rows:
        ended, verdict = drifts.get(row.name, (None, None))
        columns = None if verdict is None else sorted({name for kind in verdict.values() for name in kind})
        lines.append(
            Line(row, said[row.name], gain(row), spark(scores[row.name]), columns, ended, paused.get(row.name))
        )
    return lines


def _or_least(value: float | None) -> float:
    return float("-inf") if value is None else value


def _or_most(value: float | None) -> float:
    return float("inf") if value is None else value
