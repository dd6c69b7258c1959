"""Tokens and alerts."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import and_, func, insert, select, update

from pipelines.errors import SpecError
from pipelines.ledger.connect import Connected, lock_table, now, upsert
from pipelines.ledger.rows import AlertRow, TokenRow, UsageRow, all_of, one_of
from pipelines.ledger.schema import alerts, tokens, usage
from pipelines.settings import make_private

log = logging.getLogger(__name__)

PREFIX = "aimass_"
SCOPES = ("predict", "explain", "feedback", "metrics", "admin")
"""What a token may be for; ``admin`` covers all."""
ALERTS_LOG = "alerts.log"
FLAPPING = timedelta(days=1)
"""An alert that fires again within this time needs longer to be resolved."""


class AccessPart(Connected):
    """Tokens of callers, and alerts."""

    def issue_token(
        self, name: str, scopes: Sequence[str], days: float = 30, rate: str | None = None, quota: str | None = None
    ) -> str:
        """Create a token of 256 random bits and return its text, shown only once; the ledger keeps its sha256.

        A token of the same name is replaced.

        Parameters
        ----------
        scopes
            Names of :data:`SCOPES`, or such a name and ``:MODEL``.
        rate, quota
            Requests that pass in a time, such as ``100/minute`` and ``1000000/month``.
        """
        if not scopes or days <= 0:
            raise SpecError("a token needs a scope and days to live", where=name, seen=f"{list(scopes)}, {days} days")
        text = PREFIX + secrets.token_urlsafe(32)
        with self.transaction() as connection:
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

    def alert(self, model: str | None, kind: str, message: str, key: str, about: Sequence[str] | None = None) -> bool:
        """Fire an alert unless one with the same model and key is open; tell whether it is new.

        Firing and resolving are lines of ``alerts.log`` too, whoever does it.

        Parameters
        ----------
        about
            Names of what it is about. An open alert takes over the newest message; where it is about other names than
            before, that is a line ``changed`` in ``alerts.log``.
        """
        names = None if about is None else sorted(about)
        with self.transaction() as connection:
            lock_table(connection, alerts)
            row = connection.execute(select(alerts.c.id, alerts.c.about).where(_open(model, key))).first()
            if row is None:
                fields = {"model": model, "key": key, "kind": kind, "message": message, "about": names}
                connection.execute(insert(alerts).values(**fields, calm=0, fired_at=now()))
            else:
                text = {} if names is None else {"message": message, "about": names}
                connection.execute(update(alerts).where(alerts.c.id == row.id).values(calm=0, **text))
        if row is None:
            self._log("firing", model, kind, message, key)
        elif names is not None and names != (row.about or []):
            self._log("changed", model, kind, message, key)
        return row is None

    def resolve_alert(self, model: str | None, key: str, after: int = 1) -> bool:
        """Resolve the open alert of this model and key; tell whether it was.

        Parameters
        ----------
        after
            Calls in a row, without an alert between them, that it takes. Four times as many where the same alert has
            fired before within a day, sixteen times where it did so twice: what comes and goes stays open.
        """
        with self.transaction() as connection:
            lock_table(connection, alerts)
            row = connection.execute(select(alerts).where(_open(model, key))).first()
            if row is None:
                return False
            needed = after
            if after > 1:
                same = and_(_of_model(model), alerts.c.key == key, alerts.c.fired_at > now() - FLAPPING)
                fired = connection.execute(select(func.count()).select_from(alerts).where(same)).scalar_one()
                needed = after * 4 ** min(max(fired - 1, 0), 2)
            calm = (row.calm or 0) + 1
            resolved = {"resolved_at": now()} if calm >= needed else {}
            connection.execute(update(alerts).where(alerts.c.id == row.id).values(calm=calm, **resolved))
        if not resolved:
            return False
        self._log("resolved", model, row.kind, row.message, key)
        return True

    def _log(self, state: str, model: str | None, kind: str, message: str, key: str) -> None:
        fields = {"at": now().isoformat(), "state": state, "model": model, "kind": kind, "message": message, "key": key}
        try:
            path = make_private(self.logs) / ALERTS_LOG
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8") as stream:
                stream.write(json.dumps(fields, ensure_ascii=False) + "\n")
        except (OSError, SpecError) as error:  # a full disk must not hide the alert that the ledger holds
            log.warning("%s cannot be written: %s", ALERTS_LOG, error)

    def alerts(self, open_only: bool = True) -> list[AlertRow]:
        """Return alerts, oldest first."""
        query = select(alerts).order_by(alerts.c.id)
        if open_only:
            query = query.where(alerts.c.resolved_at.is_(None))
        with self.engine.connect() as connection:
            return all_of(AlertRow, connection.execute(query))


def _open(model: str | None, key: str) -> Any:
    return and_(_of_model(model), alerts.c.key == key, alerts.c.resolved_at.is_(None))


def _of_model(model: str | None) -> Any:
    return alerts.c.model.is_(None) if model is None else alerts.c.model == model


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
