"""Versions: one publication per night, however often it is retried."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from pipelines.errors import AimassError
from pipelines.ledger.connect import Connected, now, upsert
from pipelines.ledger.nights import SupersededError
from pipelines.ledger.rows import PublicationRow, T, VersionRow, all_of, one_of
from pipelines.ledger.schema import publications

ORDER = ("reserved", "staged", "registered", "live", "retired")
DELETED = "deleted"
"""State of a publication whose version somebody deleted: its row keeps number, digest, who and why."""


class VersionsPart(Connected):
    """What each night published."""

    def reserve(self, model: str, night: str, fence: int) -> PublicationRow:
        """Reserve the night's one publication, or adopt the one that is there.

        One that was deleted keeps its row, its number and why, under a name of its own: the night begins anew.

        Raises
        ------
        SupersededError
            If a newer attempt holds it.
        """
        with self.transaction() as connection:
            new = upsert(connection, publications).values(
                model=model, night=night, state="reserved", fence=fence, created_at=now()
            )
            connection.execute(new.on_conflict_do_nothing())
            row = _held(connection, model, night, fence)
            if row.state == DELETED:
                _changed(connection, model, night, {"night": f"{night[:200]} (deleted version {row.version})"})
                connection.execute(new)
            return _changed(connection, model, night, {"fence": fence})

    def advance(self, model: str, night: str, fence: int, state: str | None = None, **columns: Any) -> PublicationRow:
        """Record facts of a publication and move its state forward; it never moves back here."""
        with self.transaction() as connection:
            row = _held(connection, model, night, fence)
            values: dict[str, Any] = {**columns, "fence": fence}
            if state is not None and ORDER.index(state) > ORDER.index(row.state):
                values["state"] = state
            return _changed(connection, model, night, values)

    def assign_version(self, model: str, night: str, fence: int) -> int:
        """Return the night's version number: the next free one, once per night."""
        of_model = publications.c.model == model
        with self.transaction() as connection:
            # all of the model's rows, so that two nights do not count at the same time
            connection.execute(
                select(publications.c.night).where(of_model).order_by(publications.c.night).with_for_update()
            )
            row = _held(connection, model, night, fence)
            if row.version is not None:
                return int(row.version)
            last = connection.execute(select(func.max(publications.c.version)).where(of_model)).scalar()
            version = int(last or 0) + 1
            _changed(connection, model, night, {"version": version, "fence": fence})
            return version

    def versions(self, model: str) -> list[VersionRow]:
        """Return a model's numbered versions, oldest first, without those that were deleted."""
        numbered = and_(
            publications.c.model == model, publications.c.version.is_not(None), publications.c.state != DELETED
        )
        with self.engine.connect() as connection:
            found = select(publications).where(numbered).order_by(publications.c.version)
            return all_of(VersionRow, connection.execute(found))

    def version(self, model: str, version: int) -> VersionRow | None:
        """Return one version; None if there is none, or it was deleted."""
        there = and_(publications.c.version == version, publications.c.state != DELETED)
        return self._one(VersionRow, and_(publications.c.model == model, there))

    def publication(self, model: str, night: str) -> PublicationRow | None:
        """Return what a night published."""
        return self._one(PublicationRow, and_(publications.c.model == model, publications.c.night == night))

    def champion(self, model: str) -> VersionRow | None:
        """Return the live version."""
        return self._one(VersionRow, and_(publications.c.model == model, publications.c.state == "live"))

    def _one(self, kind: type[T], where: ColumnElement[bool]) -> T | None:
        with self.engine.connect() as connection:
            return one_of(kind, connection.execute(select(publications).where(where)).one_or_none())


def _held(connection: Connection, model: str, night: str, fence: int) -> PublicationRow:
    """Lock a night's publication and return it; refuse an attempt that a newer one has superseded."""
    where = and_(publications.c.model == model, publications.c.night == night)
    row = one_of(PublicationRow, connection.execute(select(publications).where(where).with_for_update()).one_or_none())
    if row is None:
        raise AimassError("a publication was advanced that was never reserved", where=f"{model} {night}")
    if row.fence > fence:
        raise SupersededError(
            "this attempt to publish was overtaken by a newer one",
            where=f"{row.model} {row.night}",
            seen=f"fence {fence}",
            expected=f"fence {row.fence}",
            cure="nothing: the newer attempt goes on",
        )
    return row


def _changed(connection: Connection, model: str, night: str, values: dict[str, Any]) -> PublicationRow:
    where = and_(publications.c.model == model, publications.c.night == night)
    change = update(publications).where(where).values(**values).returning(*publications.c)
    return all_of(PublicationRow, [connection.execute(change).one()])[0]
