"""Tokens and alerts."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, insert, select, update

from pipelines.errors import SpecError
from pipelines.ledger.connect import Connected, lock_table, now, upsert
from pipelines.ledger.rows import AlertRow, TokenRow, all_of, one_of
from pipelines.ledger.schema import alerts, tokens
from pipelines.settings import make_private

log = logging.getLogger(__name__)

PREFIX = "aimass_"
ALERTS_LOG = "alerts.log"


class AccessPart(Connected):
    """Tokens of callers, and alerts."""

    def issue_token(self, name: str, scopes: Sequence[str], days: float = 30) -> str:
        """Create a token of 256 random bits and return its text, shown only once; the ledger keeps its sha256.

        A token of the same name is replaced.
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
            }
            new = upsert(connection, tokens).values(name=name, **fields)
            connection.execute(new.on_conflict_do_update(index_elements=[tokens.c.name], set_=fields))
        return text

    def check_token(self, text: str, scope: str) -> TokenRow | None:
        """Return the token if it is known, neither expired nor revoked, and covers ``scope``.

        The scope ``predict`` covers ``predict:<model>`` of every model.
        """
        with self.engine.connect() as connection:
            found = connection.execute(select(tokens).where(tokens.c.sha256 == _digest(text)))
            row = one_of(TokenRow, found.one_or_none())
        if row is None or row.revoked_at is not None or row.expires_at <= now():
            return None
        return row if scope in row.scopes or scope.split(":")[0] in row.scopes else None

    def revoke_token(self, name: str) -> bool:
        """Revoke a token; tell whether there was one."""
        with self.transaction() as connection:
            result = connection.execute(
                update(tokens)
                .where(and_(tokens.c.name == name, tokens.c.revoked_at.is_(None)))
                .values(revoked_at=now())
            )
        return bool(result.rowcount)

    def tokens(self) -> list[TokenRow]:
        """Return all tokens by name, without their text."""
        with self.engine.connect() as connection:
            return all_of(TokenRow, connection.execute(select(tokens).order_by(tokens.c.name)))

    def alert(self, model: str | None, kind: str, message: str, key: str) -> bool:
        """Fire an alert unless one with the same model and key is open; tell whether it is new.

        Firing and resolving are lines of ``alerts.log`` too, whoever does it.
        """
        with self.transaction() as connection:
            lock_table(connection, alerts)
            is_open = connection.execute(select(alerts.c.id).where(_open(model, key))).first()
            if is_open is not None:
                return False
            connection.execute(insert(alerts).values(model=model, key=key, kind=kind, message=message, fired_at=now()))
        self._log("firing", model, kind, message, key)
        return True

    def resolve_alert(self, model: str | None, key: str) -> bool:
        """Resolve the open alert of this model and key; tell whether there was one."""
        with self.transaction() as connection:
            resolved = update(alerts).where(_open(model, key)).values(resolved_at=now())
            row = connection.execute(resolved.returning(alerts.c.kind, alerts.c.message)).first()
        if row is None:
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
    same_model = alerts.c.model.is_(None) if model is None else alerts.c.model == model
    return and_(same_model, alerts.c.key == key, alerts.c.resolved_at.is_(None))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
