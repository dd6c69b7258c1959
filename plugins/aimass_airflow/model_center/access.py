"""Requests to use a model, on its page Call: asked, decided by an owner, and a token that is shown once."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from aimass_airflow.model_center.rights import role_of
from aimass_airflow.model_center.visits import Visit
from pipelines.ledger.access_requests import ASKED, AccessRow
from pipelines.people import requests
from pipelines.people.roles import owners_of, told

SHOWN = 5
"""Of a person's own requests."""
CARD = {"HX-Retarget": "#access", "HX-Reswap": "outerHTML"}
"""An answer that takes the place of the whole card, not only of the note below a form."""


def facts(visit: Visit, said: str = "") -> dict[str, Any]:
    """Return what the card shows: one's own requests, those that wait for one's decision, and who decides."""
    name = visit.model.name
    may = {action: visit.may(action) for action in ("request", "decide")}
    own = visit.ledger.access_requests(model=name, person=visit.who, most=SHOWN)
    waiting = visit.ledger.access_requests(model=name, states=[ASKED]) if may["decide"] else []
    return {
        "own": own,
        "waiting": waiting[::-1],
        "asks": may["request"] and not any(row.state in ("asked", "approved") for row in own),
        "missing": None if may["request"] else _missing(visit),
        "owners": owners_of(visit.ledger, visit.domain(name)),
        "domain": told(visit.domain(name)),
        "scopes": requests.SCOPES,
        "days": requests.DAYS,
        "most_days": requests.MOST_DAYS,
        "said": said,
    }


def ask(visit: Visit) -> Response:
    """``POST /models/NAME/access`` with ``{"purpose", "per_minute", "per_month", "days", "scopes"}``."""
    visit.need("request")
    body = visit.body
    scopes = body.get("scopes") or []
    requests.ask(
        visit.ledger,
        visit.model.name,
        visit.who,
        purpose=str(body.get("purpose", "")),
        per_minute=body.get("per_minute", ""),
        per_month=body.get("per_month", ""),
        days=requests.DAYS if body.get("days") in (None, "") else body["days"],
        scopes=[str(each) for each in (scopes if isinstance(scopes, list) else [scopes])],
    )
    return _card(visit, "Asked. An owner decides; you draw the token here then.")


def decide(visit: Visit) -> Response:
    """``POST /models/NAME/access/ID`` with ``{"decision": "approve" or "refuse", "why"}``; 409 if it is decided."""
    visit.need("decide")
    number = _of_model(visit).id
    decision, why = str(visit.body.get("decision", "")), str(visit.body.get("why", ""))
    row = requests.decide(visit.ledger, number, decision, actor=visit.who, why=why)
    return _card(visit, f"The request of {row.person} is {row.state}.")


def draw(visit: Visit) -> Response:
    """``POST /models/NAME/access/ID/token``: the token of one's own approved request, this once."""
    visit.need("request")
    row, text = requests.draw(visit.ledger, _of_model(visit).id, visit.who)
    return visit.page("parts/token.html.jinja", row=row, text=text)


def _of_model(visit: Visit) -> AccessRow:
    row = visit.ledger.access_request(visit.number("id"))
    if row is None or row.model != visit.model.name:
        raise HTTPException(404, "no such request")
    return row


def _card(visit: Visit, said: str) -> Response:
    return visit.page("parts/access.html.jinja", headers=CARD, model=visit.model, **facts(visit, said))


def _missing(visit: Visit) -> str:
    role = visit.standing.lacks("request", visit.domain(visit.model.name))
    return f"the role {role} of {told(visit.domain(visit.model.name))}" if role else f"the right to {_right(visit)}"


def _right(visit: Visit) -> str:
    return role_of("request", visit.model.name)
