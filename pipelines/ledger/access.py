"""Tokens of callers, and what they asked for."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, and_, select, update

from pipelines.errors import SpecError
from pipelines.ledger.connect import Connected, now, upsert
from pipelines.ledger.rows import TokenRow, UsageRow, all_of, one_of
from pipelines.ledger.schema import tokens, usage

PREFIX = "aimass_"
SCOPES = ("predict", "explain", "feedback", "metrics", "data", "catalog", "catalog-write", "admin")
"""What a token may be for: ``data`` published tables, ``admin`` all, ``catalog-write`` what ``catalog`` does, too."""


class AccessPart(Connected):
    """Tokens of callers."""

    def issue_token(
        self, name: str, scopes: Sequence[str], days: float = 30, rate: str | None = None, quota: str | None = None
    ) -> str:
        """Create a token of 256 random bits and return its text, shown only once; the ledger keeps its sha256.

        A token of the same name is replaced.

        Parameters
        ----------
        scopes
            Names of :data:`SCOPES`, or such a name and ``:MODEL``, of ``data`` ``:TABLE``.
        rate, quota
            Requests that pass in a time, such as ``100/minute`` and ``1000000/month``.
        """
        with self.transaction() as connection:
            return issue(connection, name, scopes, days, rate, quota)

    def check_token(self, text: str) -> TokenRow | None:
        """Return the token if it is known, and neither expired nor revoked."""
        with self.engine.connect() as connection:
            found = connection.execute(select(tokens).where(tokens.c.sha256 == _digest(text)))
            row = one_of(TokenRow, found.one_or_none())
        if row is None or row.revoked_at is not None or row.expires_at <= now():
            return None
        return row

    def revoke_token(self, name: str) -> bool:
        """Revoke a token; tell whether there was one."""
        with self.transaction() as connection:
            result = connection.execute(
                update(tokens)
                .where(and_(tokens.c.name == name, tokens.c.revoked_at.is_(None)))
                .values(revoked_at=now())
            )
        return bool(result.rowcount)

    def count_usage(self, counts: Mapping[tuple[str, str, date], tuple[int, int, int]]) -> None:
        """Add what tokens asked for: {(token, model, day): (requests, errors, rows)}."""
        with self.transaction() as connection:
            for (token, model, day), (requests, errors, rows) in sorted(counts.items()):
                new = upsert(connection, usage).values(
                    token=token, model=model, day=day, requests=requests, errors=errors, rows=rows
                )
                added = {
                    "requests": usage.c.requests + new.excluded.requests,
                    "errors": usage.c.errors + new.excluded.errors,
                    "rows": usage.c.rows + new.excluded.rows,
                }
                keys = [usage.c.token, usage.c.model, usage.c.day]
                connection.execute(new.on_conflict_do_update(index_elements=keys, set_=added))

    def usage(self, start: date, end: date, token: str | None = None) -> list[UsageRow]:
        """Return what was asked for from ``start`` to ``end``, both included; of one token, or of all."""
        query = select(usage).where(and_(usage.c.day >= start, usage.c.day <= end))
        if token is not None:
            query = query.where(usage.c.token == token)
        with self.engine.connect() as connection:
            return all_of(UsageRow, connection.execute(query.order_by(usage.c.day, usage.c.token, usage.c.model)))

    def tokens(self) -> list[TokenRow]:
        """Return all tokens by name, without their text."""
        with self.engine.connect() as connection:
            return all_of(TokenRow, connection.execute(select(tokens).order_by(tokens.c.name)))


def issue(
    connection: Connection, name: str, scopes: Sequence[str], days: float, rate: str | None, quota: str | None
) -> str:
    """Create a token within a transaction and return its text; see ``AccessPart.issue_token``."""
    if not scopes or days <= 0:
        raise SpecError("a token needs a scope and days to live", where=name, seen=f"{list(scopes)}, {days} days")
    text = PREFIX + secrets.token_urlsafe(32)
    fields: dict[str, Any] = {
        "sha256": _digest(text),
        "scopes": list(scopes),
        "created_at": now(),
        "expires_at": now() + timedelta(days=days),
        "revoked_at": None,
        "rate": rate,
        "quota": quota,
    }
    new = upsert(connection, tokens).values(name=name, **fields)
    connection.execute(new.on_conflict_do_update(index_elements=[tokens.c.name], set_=fields))
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
