"""What people do about a model: who, when, why, and how it ended; each against the state that they saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, insert, select, update

from pipelines.ledger.connect import Connected, lock_table, now
from pipelines.ledger.rows import SwitchRow, all_of
from pipelines.ledger.schema import actions, history

ASKED, DONE = "asked", "done"
WORDS = ("describe", "note")
"""Kinds that change what is said of a model, not how it runs: a page that was loaded before them is not stale."""


@dataclass(frozen=True)
class ActionRow:
    """Something that a person did.

    Parameters
    ----------
    about
        What it was about, such as ``{"version": 3}`` or ``{"alert": 12}``.
    outcome
        ``asked``, ``done``, or what went wrong.
    """

    id: int
    at: datetime
    model: str
    kind: str
    actor: str
    why: str
    about: dict[str, Any]
    outcome: str


class Mark(NamedTuple):
    """The newest entries about a model: number of the switch and of the action; 0 is none."""

    switch: int
    action: int

    def __str__(self) -> str:
        return f"{self.switch}-{self.action}"

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """Read what ``str`` wrote; None for anything else."""
        parts = text.split("-")
        if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
            return None
        return cls(*map(int, parts))


class ActionsPart(Connected):
    """Actions of people."""

    def mark(self, model: str) -> Mark:
        """Return the newest entries about a model."""
        with self.engine.connect() as connection:
            return _mark(connection, model)

    def act(
        self, model: str, kind: str, *, actor: str, why: str, about: Mapping[str, Any], seen: Mark | None = None
    ) -> ActionRow | None:
        """Record an action before it is made; None: since ``seen`` somebody did something, so nothing is recorded.

        Two that saw the same cannot both pass.
        """
        with self.transaction() as connection:
            lock_table(connection, actions)
            if seen is not None and seen != _mark(connection, model):
                return None
            fields = {"at": now(), "model": model, "kind": kind, "actor": actor, "why": why, "about": dict(about)}
            new = insert(actions).values(**fields, outcome=ASKED).returning(*actions.c)
            return ActionRow(**connection.execute(new).one()._mapping)

    def acted(self, number: int, outcome: str, about: Mapping[str, Any] | None = None) -> None:
        """Record how an action ended, and facts that are known since."""
        facts = {} if about is None else {"about": dict(about)}
        with self.transaction() as connection:
            connection.execute(update(actions).where(actions.c.id == number).values(outcome=outcome, **facts))

    def actions(self, model: str | None = None, after: int = 0, most: int = 50) -> list[ActionRow]:
        """Return the newest actions, of a model or of all, newest first."""
        query = select(actions).where(actions.c.id > after)
        if model is not None:
            query = query.where(actions.c.model == model)
        with self.engine.connect() as connection:
            return all_of(ActionRow, connection.execute(query.order_by(actions.c.id.desc()).limit(most)))

    def switches(self, model: str, after: int = 0, most: int = 50) -> list[SwitchRow]:
        """Return the newest switches of a model, newest first."""
        query = select(history).where(and_(history.c.model == model, history.c.id > after))
        with self.engine.connect() as connection:
            return all_of(SwitchRow, connection.execute(query.order_by(history.c.id.desc()).limit(most)))


def _mark(connection: Connection, model: str) -> Mark:
    switched = select(func.max(history.c.id)).where(history.c.model == model)
    acted = select(func.max(actions.c.id)).where(and_(actions.c.model == model, actions.c.kind.not_in(WORDS)))
    return Mark(*(int(connection.execute(each).scalar_one_or_none() or 0) for each in (switched, acted)))
