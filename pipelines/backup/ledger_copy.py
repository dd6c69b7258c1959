"""Copies the ledger, and tells what its copy names: all of it must be in the backup."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, create_engine, make_url, text

from pipelines.backup.copying import copy_database, require_sound
from pipelines.errors import BackupError
from pipelines.settings import Settings, make_private

SELECT = "SELECT model_uri, bento_uri, mlflow_run FROM publications"
DUMP = "home/ledger.pgdump"


class LedgerCopy(NamedTuple):
    """A copy of the ledger and what it names."""

    name: str
    """In the backup."""
    path: Path
    models: set[str]
    """Addresses of model directories."""
    bentos: set[str]
    runs: set[str]
    """Of MLflow."""


def copy_ledger(settings: Settings, folder: Path) -> LedgerCopy:
    """Copy the ledger into a folder; one that is there from before is replaced.

    Raises
    ------
    BackupError
        If there is none, or it cannot be copied.
    """
    address = make_url(settings.ledger_address)
    make_private(folder)
    if address.get_backend_name() == "postgresql":
        path = folder / "ledger.pgdump"
        return _copy_of(DUMP, path, _dump(address, path))
    path = folder / "ledger.db"
    path.unlink(missing_ok=True)
    source = ledger_file(settings)
    copy_database(source, path)
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            return _copy_of("home/ledger.db", path, connection.execute(SELECT).fetchall())
    except sqlite3.DatabaseError:
        require_sound(path, source)
        raise


def ledger_file(settings: Settings) -> Path:
    """Return the file of the SQLite ledger; BackupError if there is none."""
    path = Path(make_url(settings.ledger_address).database or "")
    if not path.is_file():
        raise BackupError(
            "there is nothing to back up",
            where=str(path),
            seen="no ledger",
            expected="a home in which at least one night ran",
            cure="check AIMASS_HOME, or run a night first",
        )
    return path


def _dump(address: URL, path: Path) -> list[Any]:
    """Dump a PostgreSQL ledger with ``pg_dump -Fc``; return its publications as of the very same state."""
    program = shutil.which("pg_dump")
    if program is None:
        raise BackupError(
            "a ledger in PostgreSQL is backed up by pg_dump, which is not here",
            where="PATH",
            expected="pg_dump of the server's version or a later one",
            cure="install PostgreSQL's client programs",
        )
    engine = create_engine(address, isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
            rows = list(connection.execute(text(SELECT)))
            plain = without_password(address.set(drivername="postgresql"))
            command = [program, "-Fc", "--no-owner", f"--snapshot={snapshot}", f"--file={path}", plain]
            secret = {"PGPASSWORD": address.password} if address.password else {}
            done = subprocess.run(command, env=os.environ | secret, capture_output=True, text=True, check=False)
    finally:
        engine.dispose()
    if done.returncode:
        raise BackupError(
            "the ledger cannot be dumped",
            where=address.render_as_string(hide_password=True),
            seen=done.stderr.strip()[-500:],
            expected="pg_dump ends with 0",
            cure="do what pg_dump says; its version must not be older than the server's",
        )
    path.chmod(0o600)
    return rows


def without_password(address: URL) -> str:
    """Return an address as text without its password."""
    return address._replace(password=None).render_as_string()


def _copy_of(name: str, path: Path, rows: list[Any]) -> LedgerCopy:
    models, bentos, runs = ({str(row[column]) for row in rows if row[column] is not None} for column in range(3))
    return LedgerCopy(name, path, models, bentos, runs)
