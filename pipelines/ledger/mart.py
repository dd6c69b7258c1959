"""The tables of the data mart: each version with its digest, its columns and where it is from; expired ones stay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Text, and_, cast, func, insert, select, update

from pipelines.ledger.connect import Connected, lock_table, now
from pipelines.ledger.rows import all_of, one_of
from pipelines.ledger.schema import mart_tables, models, stages


@dataclass(frozen=True)
class MartRow:
    """A version of a published table.

    Parameters
    ----------
    uri
        Address of its folder below the storage root.
    digest
        Of its content: all rows, columns, types and nulls.
    columns
        In their order: ``name``, ``type``, share of ``missing`` cells; of a private one ``private``.
    origin
        Where its rows are from: model, night and stage, or the path; and what was left out.
    expired_at, expired_by, expired_why
        None: it has not expired.
    """

    name: str
    version: int
    uri: str
    digest: str
    rows: int
    bytes: int
    columns: list[dict[str, Any]]
    origin: dict[str, Any]
    description: str
    actor: str
    created_at: datetime
    expired_at: datetime | None
    expired_by: str | None
    expired_why: str | None

    @property
    def address(self) -> str:
        """How a spec names it."""
        return f"mart:{self.name}@{self.version}"


class MartPart(Connected):
    """Published tables."""

    def publish_table(self, name: str, **fields: Any) -> MartRow:
        """Record a published folder as the next version of a table; the number of an expired one is not used again."""
        with self.transaction() as connection:
            lock_table(connection, mart_tables)
            last = connection.execute(select(func.max(mart_tables.c.version)).where(mart_tables.c.name == name))
            values = {"name": name, "version": (last.scalar_one() or 0) + 1, "created_at": now(), **fields}
            new = insert(mart_tables).values(**values).returning(*mart_tables.c)
            return MartRow(**connection.execute(new).one()._mapping)

    def mart_tables(self, name: str | None = None) -> list[MartRow]:
        """Return the versions of a table, or of all, oldest first; expired ones too."""
        query = select(mart_tables).order_by(mart_tables.c.name, mart_tables.c.version)
        if name is not None:
            query = query.where(mart_tables.c.name == name)
        with self.engine.connect() as connection:
            return all_of(MartRow, connection.execute(query))

    def newest_tables(self) -> list[MartRow]:
        """Return the newest version of each table that has not expired: one for each model that versions are from."""
        model = mart_tables.c.origin["model"].as_string()
        newest = select(mart_tables.c.name, func.max(mart_tables.c.version).label("version"))
        kept = newest.where(mart_tables.c.expired_at.is_(None)).group_by(mart_tables.c.name, model).subquery()
        same = and_(mart_tables.c.name == kept.c.name, mart_tables.c.version == kept.c.version)
        query = select(mart_tables).join(kept, same).order_by(mart_tables.c.name, mart_tables.c.version)
        with self.engine.connect() as connection:
            return all_of(MartRow, connection.execute(query))

    def mart_table(self, name: str, version: int) -> MartRow | None:
        """Return one version of a table."""
        which = and_(mart_tables.c.name == name, mart_tables.c.version == version)
        with self.engine.connect() as connection:
            return one_of(MartRow, connection.execute(select(mart_tables).where(which)).one_or_none())

    def expire_table(self, name: str, version: int, actor: str, why: str) -> bool:
        """Record that a version has expired; tell whether it had not before."""
        which = and_(mart_tables.c.name == name, mart_tables.c.version == version, mart_tables.c.expired_at.is_(None))
        gone = {"expired_at": now(), "expired_by": actor, "expired_why": why}
        with self.transaction() as connection:
            return bool(connection.execute(update(mart_tables).where(which).values(**gone)).rowcount)

    def mart_readers(self) -> dict[tuple[str, int], list[tuple[str, str]]]:
        """Return which nights read which version: (table, version) → (model, night)."""
        ingested = and_(stages.c.model.in_(select(models.c.name)), stages.c.stage == "ingest")  # as the index has them
        named = cast(stages.c.stats, Text).like('%"mart"%')
        query = select(stages.c.model, stages.c.night, stages.c.stats).where(ingested, named)
        query = query.order_by(stages.c.model, stages.c.night)
        found: dict[tuple[str, int], list[tuple[str, str]]] = {}
        with self.engine.connect() as connection:
            for row in connection.execute(query):
                for read in ((row.stats or {}).get("mart") or {}).values():
                    found.setdefault((read["name"], read["version"]), []).append((row.model, row.night))
        return found

    def copy_tables(self, rows: Iterable[MartRow], target: MartPart) -> None:
        """Copy versions into another ledger."""
        values = [vars(row) for row in rows]
        if values:
            with target.transaction() as connection:
                connection.execute(insert(mart_tables), values)
