"""Requests to use a model: asked, approved or refused, and its token issued once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from pipelines.ledger.access import issue
from pipelines.ledger.connect import Connected, lock_table, now
from pipelines.ledger.rows import all_of, one_of
from pipelines.ledger.schema import access_requests, tokens

ASKED, APPROVED, REFUSED, ISSUED = "asked", "approved", "refused", "issued"
OPEN = (ASKED, APPROVED)


@dataclass(frozen=True)
class AccessRow:
    """A request to use a model.

    Parameters
    ----------
    rate, quota
        Calls that pass, such as ``60/minute`` and ``100000/month``.
    why
        Reason of the decision.
    token
        Name of the token, once it is issued.
    expires_at, revoked_at
        Of the token.
    """

    id: int
    at: datetime
    model: str
    person: str
    purpose: str
    scopes: list[str]
    rate: str
    quota: str
    days: int
    state: str
    decided_at: datetime | None
    decided_by: str | None
    why: str | None
    token: str | None
    issued_at: datetime | None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class AccessRequestsPart(Connected):
    """Requests to use models."""

    def request_access(
        self, model: str, person: str, *, purpose: str, scopes: Sequence[str], rate: str, quota: str, days: int
    ) -> AccessRow | None:
        """Record a request; None: the person has an open one for this model."""
        same = and_(
            access_requests.c.person == person, access_requests.c.model == model, access_requests.c.state.in_(OPEN)
        )
        fields = {"model": model, "person": person, "purpose": purpose, "scopes": list(scopes), "rate": rate}
        with self.transaction() as connection:
            lock_table(connection, access_requests)
            if connection.execute(select(access_requests.c.id).where(same).limit(1)).first() is not None:
                return None
            new = insert(access_requests).values(**fields, quota=quota, days=days, at=now(), state=ASKED)
            return AccessRow(**connection.execute(new.returning(*access_requests.c)).one()._mapping)

    def decide_access(self, number: int, state: str, *, actor: str, why: str) -> AccessRow | None:
        """Approve or refuse a request; None: it is decided already, so nothing is recorded."""
        facts = {"state": state, "decided_at": now(), "decided_by": actor, "why": why}
        with self.transaction() as connection:
            return _moved(connection, and_(access_requests.c.id == number, access_requests.c.state == ASKED), facts)

    def issue_requested_token(self, number: int, person: str) -> tuple[AccessRow, str] | None:
        """Issue the token of an approved request and return its text, this once; None: it is not there to be issued.

        Both are one transaction: of two that ask at once one gets it, and none is lost by half.
        """
        mine = and_(
            access_requests.c.id == number, access_requests.c.person == person, access_requests.c.state == APPROVED
        )
        with self.transaction() as connection:
            row = _moved(connection, mine, {"state": ISSUED, "issued_at": now()})
            if row is None:
                return None
            name = f"{row.person[:40]}:{row.model}:{row.id}"
            text = issue(
                connection, name, [f"{each}:{row.model}" for each in row.scopes], row.days, row.rate, row.quota
            )
            named = _moved(connection, access_requests.c.id == number, {"token": name})
            assert named is not None  # it was there a statement ago
            return named, text

    def access_request(self, number: int) -> AccessRow | None:
        """Return one request."""
        with self.engine.connect() as connection:
            return one_of(
                AccessRow, connection.execute(_WITH_TOKEN.where(access_requests.c.id == number)).one_or_none()
            )

    def access_requests(
        self, *, model: str | None = None, person: str | None = None, states: Iterable[str] = (), most: int = 50
    ) -> list[AccessRow]:
        """Return the newest requests, newest first: of a model, of a person, in some states."""
        query = _WITH_TOKEN
        if model is not None:
            query = query.where(access_requests.c.model == model)
        if person is not None:
            query = query.where(access_requests.c.person == person)
        if states:
            query = query.where(access_requests.c.state.in_(tuple(states)))
        with self.engine.connect() as connection:
            return all_of(AccessRow, connection.execute(query.order_by(access_requests.c.id.desc()).limit(most)))


_WITH_TOKEN = select(access_requests, tokens.c.expires_at, tokens.c.revoked_at).select_from(
    access_requests.outerjoin(tokens, tokens.c.name == access_requests.c.token)
)


def _moved(connection: Connection, which: Any, facts: dict[str, Any]) -> AccessRow | None:
    found = connection.execute(update(access_requests).where(which).values(**facts).returning(*access_requests.c))
    return one_of(AccessRow, found.one_or_none())
