"""What is a person's own on the page of all models: favourites, last seen, recommended, requests to decide."""

from __future__ import annotations

import time
from functools import partial

from starlette.responses import Response

from aimass_airflow.model_center.visits import Visit
from pipelines.errors import SpecError
from pipelines.ledger.access_requests import ASKED
from pipelines.ledger.preferences import SEEN_EVERY
from pipelines.people.recommend import recommend

SHOWN = 5
FAVOURITES = 20
REMEMBERED = 10_000
WAITING = 1_000
"""Newest requests among which those are that one may decide."""


def show(visit: Visit) -> Response:
    """``GET /parts/yours``: loaded by itself once the table is there."""
    ledger = visit.ledger
    visible = visit.visible(ledger.model_names())
    archived = {name for name, row in ledger.catalog_rows(texts=False).items() if row.archived}
    liked = [row for row in ledger.preferences(visit.who) if row.model in visible]
    seen = sorted((row for row in liked if row.seen_at), key=lambda row: str(row.seen_at), reverse=True)
    waiting = [row for row in ledger.access_requests(states=[ASKED], most=WAITING) if row.model in visible]
    return visit.page(
        "parts/yours.html.jinja",
        waiting=[row for row in waiting if visit.may("decide", row.model)][:SHOWN],
        favourites=[row.model for row in liked if row.favourite_at is not None][:FAVOURITES],
        seen=seen[:SHOWN],
        recommended=recommend(ledger, visit.who, visible - archived, SHOWN),
    )


def favourite(visit: Visit) -> Response:
    """``POST /models/NAME/favourite`` with ``{"favourite": "yes" or "no"}``: of whoever sees the model."""
    given = visit.body.get("favourite")
    if given not in ("yes", "no"):
        raise SpecError("is it a favourite?", where="favourite", seen=str(given)[:63], expected="yes or no")
    on = given == "yes"
    visit.ledger.set_favourite(visit.who[:120], visit.model.name, on)
    return visit.page("parts/star.html.jinja", headers={"HX-Trigger": "favourite"}, name=visit.model.name, on=on)


def note(visit: Visit) -> None:
    """Record that the user sees the model, once an hour and after the answer was sent."""
    key, moment = (visit.who[:120], visit.model.name), time.monotonic()
    seen = visit.center.seen
    if moment - seen.get(key, float("-inf")) < SEEN_EVERY.total_seconds():
        return
    if len(seen) >= REMEMBERED:
        seen.clear()
    seen[key] = moment
    visit.after.append(partial(visit.ledger.saw, *key))
