"""What was done about a condition of a model: probes of drift, retraining asked for, versions below their floor."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, insert, select, update

from pipelines.ledger.alert_rows import ReactionRow
from pipelines.ledger.connect import Connected, lock_table, now
from pipelines.ledger.rows import all_of
from pipelines.ledger.schema import reactions

BEGUN, BEGUN_AGAIN = "begun", "begun again"
"""Outcomes of reactions that have not ended."""
LONGEST = timedelta(minutes=10)
"""What a reaction takes at most; one that has not ended by then never will."""


class ReactionsPart(Connected):
    """Reactions."""

    def react(
        self,
        model: str,
        kind: str,
        *,
        outcome: str,
        text: str,
        version: int | None = None,
        every: timedelta | None = None,
        moment: datetime | None = None,
    ) -> ReactionRow | None:
        """Record a reaction before it is made, unless it was made already; None: it was.

        One that began and did not end, because its process died, is begun once more; if that one dies, too, it stays.

        Parameters
        ----------
        every
            At most once in this time for a model; None: once for each version.
        """
        moment = moment or now()
        same: Any = and_(reactions.c.model == model, reactions.c.kind == kind)
        made = reactions.c.version == version if every is None else reactions.c.at > moment - every
        with self.transaction() as connection:
            lock_table(connection, reactions)
            last = connection.execute(
                select(reactions).where(and_(same, made)).order_by(reactions.c.id.desc()).limit(1)
            ).first()
            if last is not None and not _died(last.outcome, last.at, moment):
                return None
            if last is not None:
                again = {"at": moment, "version": version, "outcome": BEGUN_AGAIN}
                mine = reactions.c.id == last.id
                row = connection.execute(update(reactions).where(mine).values(**again).returning(*reactions.c)).one()
                return ReactionRow(**row._mapping)
            fields = {"at": moment, "model": model, "kind": kind, "version": version, "outcome": outcome, "text": text}
            row = connection.execute(insert(reactions).values(**fields).returning(*reactions.c)).one()
        return ReactionRow(**row._mapping)

    def unfinished(self, model: str, kind: str, moment: datetime) -> bool:
        """Tell whether the newest reaction of a kind began and will not end, and is to be begun once more."""
        made = self.reactions(model, kind)
        return bool(made) and _died(made[-1].outcome, made[-1].at, moment)

    def reacted(self, number: int, outcome: str, text: str) -> None:
        """Record how a reaction ended."""
        with self.transaction() as connection:
            connection.execute(update(reactions).where(reactions.c.id == number).values(outcome=outcome, text=text))

    def reactions(self, model: str, kind: str) -> list[ReactionRow]:
        """Return a model's reactions of a kind, oldest first."""
        query = select(reactions).where(and_(reactions.c.model == model, reactions.c.kind == kind))
        with self.engine.connect() as connection:
            return all_of(ReactionRow, connection.execute(query.order_by(reactions.c.id)))


def _died(outcome: str, at: datetime, moment: datetime) -> bool:
    """Tell whether a reaction was begun for the first time and has not ended for so long that it never will."""
    return outcome == BEGUN and at <= moment - LONGEST
