"""Requests to use a model: what for and how much, decided by an owner, and a token that is shown once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.access_requests import APPROVED, ASKED, ISSUED, REFUSED, AccessRow
from pipelines.people.domains import EVERYWHERE, domains_of
from pipelines.people.roles import LONGEST_PERSON, LONGEST_WHY, checked, checked_name

SCOPES = ("predict", "explain", "feedback")
"""What may be asked for; the others are of operators, and come from ``aimass token``."""
MOST_PER_MINUTE, MOST_PER_MONTH, MOST_DAYS = 1_000_000, 10**12, 366
DAYS = 90


class TooLateError(SpecError):
    """Somebody was quicker; what is said is what is so now."""


def ask(
    ledger: Ledger,
    model: str,
    person: str,
    *,
    purpose: str,
    per_minute: Any,
    per_month: Any,
    days: Any = DAYS,
    scopes: Sequence[str] = ("predict",),
) -> AccessRow:
    """Ask for the use of a model.

    Raises
    ------
    SpecError
        The model was deleted, or a number or text does not fit; all that is wrong is told at once.
    TooLateError
        The person asked already, and has no token yet.
    """
    _require_there(ledger, model)
    faults: list[str] = []
    rate = _number(per_minute, "calls per minute", MOST_PER_MINUTE, faults)
    quota = _number(per_month, "calls per month", MOST_PER_MONTH, faults)
    lives = _number(days, "days", MOST_DAYS, faults)
    if unknown := [each for each in scopes if each not in SCOPES]:
        faults.append(f"scopes: seen {', '.join(unknown)[:100]}, expected {', '.join(SCOPES)}")
    if not scopes:
        faults.append(f"scopes: none, expected one or more of {', '.join(SCOPES)}")
    try:
        purpose = checked("purpose", purpose, LONGEST_WHY)
    except SpecError as error:
        faults.append(f"what it is for: seen {error.seen}, expected {error.expected}")
    if faults:
        raise SpecError("the request does not fit", where=model, faults=faults)
    wanted = [each for each in SCOPES if each in scopes]
    row = ledger.request_access(
        model,
        checked_name("person", person, LONGEST_PERSON),
        purpose=purpose,
        scopes=wanted,
        rate=f"{rate}/minute",
        quota=f"{quota}/month",
        days=lives,
    )
    if row is None:
        raise TooLateError(
            "you have asked already",
            where=model,
            seen="a request that is not decided yet, or approved without its token drawn",
            cure="wait for the decision, or draw the token of the approved one",
        )
    return row


def decide(ledger: Ledger, number: int, decision: str, *, actor: str, why: str) -> AccessRow:
    """Approve or refuse a request, with a reason that the person reads.

    Raises
    ------
    SpecError
        There is no such request or decision, or no reason, or the model was deleted.
    TooLateError
        It is decided already.
    """
    states = {"approve": APPROVED, "refuse": REFUSED}
    if decision not in states:
        raise SpecError("no such decision", seen=decision[:63], expected="approve or refuse")
    why = checked("why", why, LONGEST_WHY)
    if decision == "approve":
        _require_there(ledger, _known(ledger, number).model)
    row = ledger.decide_access(number, states[decision], actor=actor[:LONGEST_PERSON], why=why)
    if row is None:
        now = _known(ledger, number)
        raise TooLateError(
            "nothing was done: the request is decided already",
            where=f"request {number}",
            seen=f"{REFUSED if now.state == REFUSED else APPROVED} by {now.decided_by} at "
            f"{now.decided_at:%Y-%m-%d %H:%M} UTC: {now.why}",
        )
    return row


def draw(ledger: Ledger, number: int, person: str) -> tuple[AccessRow, str]:
    """Return the token of an approved request: its text, this once and to whoever asked.

    Raises
    ------
    SpecError
        There is no such request of this person, it is not approved, or the model was deleted.
    TooLateError
        The token was drawn already.
    """
    wanted = ledger.access_request(number)
    if wanted is not None:
        _require_there(ledger, wanted.model)
    found = ledger.issue_requested_token(number, person)
    if found is not None:
        return found
    now = _known(ledger, number)
    if now.person != person:
        raise SpecError("this token is of somebody else", where=f"request {number}", expected=now.person, seen=person)
    if now.state in (ASKED, REFUSED):
        raise SpecError(
            "there is no token to draw",
            where=f"request {number}",
            seen="it is not decided yet" if now.state == ASKED else f"it was refused by {now.decided_by}: {now.why}",
        )
    raise TooLateError(
        "the token was drawn already; its text is shown once and kept nowhere",
        where=f"request {number}",
        seen=f"drawn at {now.issued_at:%Y-%m-%d %H:%M} UTC as {now.token}",
        cure="ask for another one; whoever lost a token has it revoked: aimass token revoke NAME",
    )


def valid_tokens(ledger: Ledger, domain: str, person: str) -> list[str]:
    """Return the names of the tokens that a person drew for models of a domain and that are still valid."""
    rows = [row for row in ledger.access_requests(person=person, states=[ISSUED], most=1000) if not row.revoked_at]
    domains = domains_of(ledger, {row.model for row in rows})
    moment = datetime.now(UTC)
    return [
        row.token
        for row in rows
        if row.token and row.expires_at and row.expires_at > moment and domain in (EVERYWHERE, domains[row.model])
    ]


def _require_there(ledger: Ledger, model: str) -> None:
    """Raise if the model was deleted: whatever gets its name later is another one."""
    if ledger.is_model_deleted(model):
        raise SpecError("the model was deleted", where=model, cure="refuse the request, or ask for another model")


def _known(ledger: Ledger, number: int) -> AccessRow:
    row = ledger.access_request(number)
    if row is None:
        raise SpecError("no such request", seen=number, cure="aimass people requests lists them")
    return row


def _number(given: Any, what: str, most: int, faults: list[str]) -> int:
    text = str(given).strip()
    if text.isascii() and text.isdigit() and len(text) < 16 and 1 <= int(text) <= most:
        return int(text)
    faults.append(f"{what}: seen {text[:30] or 'nothing'}, expected a whole number from 1 to {most:,}")
    return 0
