"""Moves MLflow's database into a file or another database, its addresses of artifacts made those of the new place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, func, insert, inspect, make_url, select, text

from pipelines.backup.copying import copy_database, require_sound
from pipelines.backup.mlflow_addresses import rewrite
from pipelines.errors import BackupError
from pipelines.settings import Settings, make_private

CHUNK = 1_000
VERSION = "alembic_version"
FIRST_EXPERIMENT = "experiments"
"""The table that a new database has one row in; it may have rows of its own in others, but none of anybody's work."""
WORK = ("runs", "registered_models", "model_versions", "logged_models")


def rewritten_copy(old: Settings, artifacts: Path | None, scratch: Path) -> Path | None:
    """Return a copy of the old database for the new place; None if there is none."""
    source = old.mlflow_dir / "mlflow.db"
    if not source.is_file():
        return None
    copy = scratch / "mlflow.db"
    copy.unlink(missing_ok=True)
    copy_database(source, copy)
    require_sound(copy, source)
    rewrite(copy, artifacts)
    return copy


def move_into(copy: Path, address: str) -> int:
    """Put a copy in place as a file, or its rows into another database; return the number of rows that arrived.

    A database that holds the same already is left as it is.

    Raises
    ------
    BackupError
        It holds something else, or the copy is of another version of MLflow.
    """
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        return _as_file(copy, Path(url.database or ""))
    from mlflow.store.db.utils import _initialize_tables

    new, old = create_engine(address), create_engine(f"sqlite:///{copy}")
    try:
        _initialize_tables(new)
        return _rows_into(old, new)
    finally:
        new.dispose()
        old.dispose()


def _as_file(copy: Path, target: Path) -> int:
    engine = create_engine(f"sqlite:///{copy}")
    try:
        with engine.connect() as connection:
            metadata = _tables(engine)
            count = sum(_count(connection, table) for table in metadata)
    finally:
        engine.dispose()
    if target.exists():
        if target.read_bytes() == copy.read_bytes():
            return count
        raise _occupied(str(target), "another database")
    make_private(target.parent)
    os.replace(copy, target)
    return count


def _rows_into(old: Engine, new: Engine) -> int:
    """Copy the rows of all tables in one transaction."""
    tables = _tables(new)
    lacking = sorted({table.name for table in _tables(old)} - {table.name for table in tables})
    with old.connect() as source, new.begin() as target:
        asked = text(f"SELECT version_num FROM {VERSION}")  # noqa: S608 - a constant above
        versions = [connection.execute(asked).scalar() for connection in (source, target)]
        if lacking or versions[0] != versions[1]:
            raise BackupError(
                "MLflow's databases are of different versions",
                where=new.url.render_as_string(hide_password=True),
                seen=f"{versions[0]} and {versions[1]}; tables that are missing there: {', '.join(lacking) or 'none'}",
                expected="one version on both sides",
                cure="start and stop the old platform once with this release (aimass up, aimass down), then try again",
            )
        there = {table.name: _rows(target, table) for table in tables}
        wanted = {table.name: _rows(source, table) for table in tables}
        if there == wanted:
            return sum(map(len, wanted.values()))
        filled = [name for name in WORK if there.get(name)]
        filled += [FIRST_EXPERIMENT] if len(there.get(FIRST_EXPERIMENT, ())) > 1 else []
        if filled:
            raise _occupied(new.url.render_as_string(hide_password=True), ", ".join(filled))
        for table in reversed(tables):
            target.execute(table.delete())
        for table in tables:
            rows = [dict(zip(table.columns.keys(), row, strict=True)) for row in wanted[table.name]]
            for start in range(0, len(rows), CHUNK):
                target.execute(insert(table), rows[start : start + CHUNK])
            _advance_sequences(target, table)
        if {table.name: _rows(target, table) for table in tables} != wanted:
            raise BackupError(
                "MLflow's new database does not return what was written; nothing was changed",
                where=new.url.render_as_string(hide_password=True),
                cure="report this with the version of the database",
            )
        return sum(map(len, wanted.values()))


def _tables(engine: Engine) -> list[Table]:
    """Return the tables, those that others refer to first."""
    metadata = MetaData()
    metadata.reflect(engine)
    return [table for table in metadata.sorted_tables if table.name != VERSION]


def _rows(connection: Connection, table: Table) -> list[tuple[Any, ...]]:
    """Return the rows of a table as the new database understands them, in an order that both have."""
    found = [tuple(row) for row in connection.execute(select(table))]
    return sorted(found, key=repr)


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _advance_sequences(connection: Connection, table: Table) -> None:
    if connection.dialect.name != "postgresql":
        return
    for column in inspect(connection).get_columns(table.name):
        if "nextval" in str(column.get("default") or ""):
            highest = connection.execute(select(func.max(table.c[column["name"]]))).scalar_one()
            if highest is not None:
                sequence = text("SELECT setval(pg_get_serial_sequence(:name, :column), :highest)")
                values = {"name": table.name, "column": column["name"], "highest": highest}
                connection.execute(sequence, values)


def _occupied(where: str, seen: str) -> BackupError:
    return BackupError(
        "MLflow's database of the new place is not empty",
        where=where,
        seen=seen,
        expected="no run and no model",
        cure="name an empty database",
    )
