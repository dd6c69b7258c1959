"""Alerts: fired once and resolved once, in the ledger and as lines of a log file; and their silences."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import and_, func, insert, select, update

from pipelines.errors import SpecError
from pipelines.ledger.alert_rows import SilenceRow
from pipelines.ledger.connect import Connected, lock_table, now
from pipelines.ledger.rows import AlertRow, all_of, one_of
from pipelines.ledger.schema import alerts, silences
from pipelines.settings import make_private

log = logging.getLogger(__name__)

ALERTS_LOG = "alerts.log"
FLAPPING = timedelta(days=1)
"""An alert that fires again within this time needs longer to be resolved."""


class AlertsPart(Connected):
    """Alerts and silences."""

    def alert(self, model: str | None, kind: str, message: str, key: str, about: Sequence[str] | None = None) -> bool:
        """Fire an alert unless one with the same model and key is open; tell whether it is new.

        Firing and resolving are lines of ``alerts.log`` too, whoever does it.

        Parameters
        ----------
        about
            Names of what it is about. An open alert takes over the newest message; where it is about other names than
            before, that is a line ``changed`` in ``alerts.log``. One that never had names takes over a message, and
            says so, if more than numbers differ in it.
        """
        names = None if about is None else sorted(about)
        with self.transaction() as connection:
            lock_table(connection, alerts)
            row = connection.execute(select(alerts).where(_open(model, key))).first()
            changed = row is not None and _says_more(row, message, names)
            if row is None:
                fields = {"model": model, "key": key, "kind": kind, "message": message, "about": names}
                connection.execute(insert(alerts).values(**fields, calm=0, fired_at=now()))
            else:
                text = {"message": message, "about": names} if names is not None or changed else {}
                said = {"changed_at": now()} if changed else {}
                connection.execute(update(alerts).where(alerts.c.id == row.id).values(calm=0, **text, **said))
        if row is None:
            write_line(self.logs, "firing", model, kind, message, key)
        elif changed:
            write_line(self.logs, "changed", model, kind, message, key)
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
        write_line(self.logs, "resolved", model, row.kind, row.message, key)
        return True

    def alerts(self, open_only: bool = True) -> list[AlertRow]:
        """Return alerts, oldest first."""
        query = select(alerts).order_by(alerts.c.id)
        if open_only:
            query = query.where(alerts.c.resolved_at.is_(None))
        with self.engine.connect() as connection:
            return all_of(AlertRow, connection.execute(query))

    def silence(
        self, model: str | None, kind: str | None, fingerprint: str | None, *, until: datetime, why: str, actor: str
    ) -> SilenceRow:
        """Let alerts be sent through no channel until a moment; what is None does not matter, one must be given.

        Raises
        ------
        SpecError
            Nothing says which alerts.
        """
        chosen = {"model": model, "kind": kind, "fingerprint": fingerprint}
        if not any(chosen.values()):
            raise SpecError(
                "a silence of all alerts", expected="a model, a kind or a fingerprint", cure="aimass alerts lists them"
            )
        fields = {**chosen, "begun_at": now(), "until": until, "why": why, "actor": actor}
        with self.transaction() as connection:
            made = connection.execute(insert(silences).values(**fields).returning(*silences.c)).one()
        return SilenceRow(**made._mapping)

    def end_silence(self, number: int) -> SilenceRow | None:
        """End a silence now; return it as it was, None if none of this number lasts."""
        lasts = and_(silences.c.id == number, silences.c.until > now())
        with self.transaction() as connection:
            row = one_of(SilenceRow, connection.execute(select(silences).where(lasts)).one_or_none())
            if row is not None:
                connection.execute(update(silences).where(lasts).values(until=now()))
        return row

    def silences(self, lasting: bool = True) -> list[SilenceRow]:
        """Return silences, oldest first: those that last, or all."""
        query = select(silences).order_by(silences.c.id)
        if lasting:
            query = query.where(silences.c.until > now())
        with self.engine.connect() as connection:
            return all_of(SilenceRow, connection.execute(query))


def write_line(logs: Path, state: str, model: str | None, kind: str, message: str, key: str) -> None:
    """Append what became of an alert to the log file."""
    fields = {"at": now().isoformat(), "state": state, "model": model, "kind": kind, "message": message, "key": key}
    try:
        path = make_private(logs) / ALERTS_LOG
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8") as stream:
            stream.write(json.dumps(fields, ensure_ascii=False) + "\n")
    except (OSError, SpecError) as error:  # a full disk must not hide the alert that the ledger holds
        log.warning("%s cannot be written: %s", ALERTS_LOG, error)


def _says_more(row: Any, message: str, names: list[str] | None) -> bool:
    """Tell whether an open alert says something else now: other names, or without names another text."""
    if names is not None:
        return names != (row.about or [])
    return row.about is None and _wording(row.message) != _wording(message)


def _wording(message: str) -> str:
    """Return a message without its numbers, which differ with every look."""
    return re.sub(r"\d+", "0", message)


def _open(model: str | None, key: str) -> Any:
    return and_(_of_model(model), alerts.c.key == key, alerts.c.resolved_at.is_(None))


def _of_model(model: str | None) -> Any:
    return alerts.c.model.is_(None) if model is None else alerts.c.model == model
