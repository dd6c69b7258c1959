"""Versions: one publication per night, whatever is retried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, func, insert, select, update

from pipelines.errors import AimassError
from pipelines.ledger.connect import Connected, now
from pipelines.ledger.nights import SupersededError
from pipelines.ledger.schema import publications

ORDER = ("reserved", "staged", "registered", "live", "retired")


class VersionsPart(Connected):
    """What each night published."""

    def reserve(self, model: str, night: str, fence: int) -> Row[Any]:
        """Reserve the night's one publication, or adopt the one that is there.

        Raises
        ------
        SupersededError
            If a newer attempt holds it.
        """
        where = and_(publications.c.model == model, publications.c.night == night)
        with self.transaction() as connection:
            row = connection.execute(select(publications).where(where)).one_or_none()
            if row is None:
                connection.execute(
                    insert(publications).values(
                        model=model, night=night, state="reserved", fence=fence, created_at=now()
                    )
                )
            else:
                _check_fence(row, fence)
                connection.execute(update(publications).where(where).values(fence=fence))
            return connection.execute(select(publications).where(where)).one()

    def advance(self, model: str, night: str, fence: int, state: str | None = None, **columns: Any) -> Row[Any]:
        """Record facts of a publication and move its state forward; it never moves back here."""
        where = and_(publications.c.model == model, publications.c.night == night)
        with self.transaction() as connection:
            row = connection.execute(select(publications).where(where)).one_or_none()
            if row is None:
                raise AimassError("a publication was advanced that was never reserved", where=f"{model} {night}")
            _check_fence(row, fence)
            values: dict[str, Any] = {**columns, "fence": fence}
            if state is not None and ORDER.index(state) > ORDER.index(row.state):
                values["state"] = state
            connection.execute(update(publications).where(where).values(**values))
            return connection.execute(select(publications).where(where)).one()

    def assign_version(self, model: str, night: str, fence: int) -> int:
        """Give the night's version number: the next free one, once per night."""
        where = and_(publications.c.model == model, publications.c.night == night)
        with self.transaction() as connection:
            row = connection.execute(select(publications).where(where)).one()
            _check_fence(row, fence)
            if row.version is not None:
                return int(row.version)
            last = connection.execute(
                select(func.max(publications.c.version)).where(publications.c.model == model)
            ).scalar()
            version = int(last or 0) + 1
            connection.execute(update(publications).where(where).values(version=version, fence=fence))
            return version

    def versions(self, model: str) -> Sequence[Row[Any]]:
        """Give a model's numbered versions, oldest first."""
        with self.engine.connect() as connection:
            return connection.execute(
                select(publications)
                .where(and_(publications.c.model == model, publications.c.version.is_not(None)))
                .order_by(publications.c.version)
            ).all()

    def version(self, model: str, version: int) -> Row[Any] | None:
        """Give one version."""
        with self.engine.connect() as connection:
            return connection.execute(
                select(publications).where(and_(publications.c.model == model, publications.c.version == version))
            ).one_or_none()

    def publication(self, model: str, night: str) -> Row[Any] | None:
        """Give what a night published."""
        with self.engine.connect() as connection:
            return connection.execute(
                select(publications).where(and_(publications.c.model == model, publications.c.night == night))
            ).one_or_none()

    def champion(self, model: str) -> Row[Any] | None:
        """Give the live version."""
        with self.engine.connect() as connection:
            return connection.execute(
                select(publications).where(and_(publications.c.model == model, publications.c.state == "live"))
            ).one_or_none()


def _check_fence(row: Row[Any], fence: int) -> None:
    if row.fence > fence:
        raise SupersededError(
            "this attempt to publish was overtaken by a newer one",
            where=f"{row.model} {row.night}",
            seen=f"fence {fence}",
            expected=f"fence {row.fence}",
            cure="nothing: the newer attempt goes on",
        )
