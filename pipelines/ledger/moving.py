"""Moves a whole ledger into another database, in one transaction, and compares what arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, Column, Connection, MetaData, Table, func, insert, select, text

from pipelines.artifacts import canonical_json
from pipelines.errors import BackupError
from pipelines.ledger.connect import Connected
from pipelines.ledger.schema import metadata, publications, serving, serving_hosts, serving_instances

CHUNK = 1_000
OF_THE_OLD_PLACE = (serving_hosts, serving_instances)
"""Tables of processes that stay where they are."""
NOT_RUNNING = {"actual": "absent", "address": None, "pid": None, "detail": ""}
"""What the serving table says of services in the new place, until its controllers start them."""


def moved_tables() -> list[Table]:
    """Return the tables that are moved."""
    return [table for table in metadata.sorted_tables if table not in OF_THE_OLD_PLACE]


def ledger_facts(ledger: Connected) -> dict[str, dict[str, Any]]:
    """Return of each table the number of rows and a digest of their content, whatever the database."""
    with ledger.engine.connect() as connection:
        return {table.name: _facts(_rows(connection, table)) for table in moved_tables()}


def copy_ledger_rows(source: Connected, target: Connected) -> dict[str, dict[str, Any]]:
    """Copy all rows into a ledger that has none; return what :func:`ledger_facts` does.

    Nothing is copied unless all of it is, and equal to what was read.

    Raises
    ------
    BackupError
        The target has rows, or does not return what was written.
    """
    with source.engine.connect() as old, target.transaction() as new:
        if occupied := occupied_tables(new):
            raise BackupError(
                "the ledger of the new place is not empty",
                where=new.engine.url.render_as_string(hide_password=True),
                seen=", ".join(occupied),
                expected="no row",
                cure="name an empty database in AIMASS_LEDGER_URL",
            )
        facts = {}
        for table in moved_tables():
            rows = list(_rows(old, table))
            facts[table.name] = _facts(rows)
            shadow = _shadow(table)
            for start in range(0, len(rows), CHUNK):
                new.execute(insert(shadow), rows[start : start + CHUNK])
            _advance_sequence(new, table)
            if _facts(_rows(new, table)) != facts[table.name]:
                raise BackupError(
                    "the new ledger does not return what was written; nothing was changed",
                    where=table.name,
                    expected=f"{facts[table.name]['rows']} rows with the same content",
                    cure="report this with the version of the database",
                )
        return facts


def occupied_tables(connection: Connection) -> list[str]:
    """Return the tables that have rows."""
    return [
        table.name
        for table in moved_tables()
        if connection.execute(select(func.count()).select_from(table)).scalar_one()
    ]


def has_rows(ledger: Connected) -> bool:
    """Tell whether a ledger has any row."""
    with ledger.engine.connect() as connection:
        return bool(occupied_tables(connection))


def model_addresses(ledger: Connected) -> dict[str, str]:
    """Return the address of every model directory that the ledger names, by model and version."""
    named = select(publications).where(publications.c.model_uri.is_not(None))
    with ledger.engine.connect() as connection:
        rows = connection.execute(named.order_by(publications.c.model, publications.c.version))
        return {f"{row.model} version {row.version or 'of night ' + row.night}": row.model_uri for row in rows}


def _rows(connection: Connection, table: Table) -> Iterable[dict[str, Any]]:
    for row in connection.execute(select(table).order_by(*table.primary_key.columns)):
        found = dict(row._mapping)
        yield {**found, **NOT_RUNNING} if table is serving else found


def _facts(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return count and digest; the digest does not depend on the order, which databases have of their own for text."""
    lines = sorted(canonical_json({name: _plain(value) for name, value in row.items()}) for row in rows)
    return {"rows": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _shadow(table: Table) -> Table:
    """Return the table with NULL, instead of JSON's null, where there is no document."""
    columns = (
        Column(each.name, JSON(none_as_null=True) if isinstance(each.type, JSON) else each.type)
        for each in table.columns
    )
    return Table(table.name, MetaData(), *columns)


def _advance_sequence(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number the next row after those that brought their numbers; SQLite does so by itself."""
    numbered = table.autoincrement_column
    if numbered is None or connection.dialect.name != "postgresql":
        return
    highest = connection.execute(select(func.max(numbered))).scalar_one()
    if highest is not None:
        sequence = text("SELECT setval(pg_get_serial_sequence(:name, :column), :highest)")
        connection.execute(sequence, {"name": table.name, "column": numbered.name, "highest": highest})
