"""Copies the ledger, tells what its copy names (all of it must be in the backup), and loads a dump to prove it."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from pipelines.backup.copying import copy_database, require_sound
from pipelines.errors import BackupError
from pipelines.settings import Settings, make_private

SELECT = "SELECT model_uri, bento_uri, mlflow_run FROM publications"
DUMP = "home/ledger.pgdump"
SCRATCH, A_DAY = "aimass_drill_", 86_400
"""How databases are called that a dump is proved in, followed by the second of their making; and a day in seconds."""


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
    program = _program("pg_dump")
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


@contextmanager
def loaded(address: str, dump: Path) -> Iterator[str]:
    """Load a dump into a new database beside the ledger's; yield its address, and drop it afterwards.

    Raises
    ------
    BackupError
        There is no ``pg_restore``, the ledger's user may make no database, or the dump cannot be loaded.
    """
    program = _program("pg_restore")
    url = make_url(address)
    other = url.set(database=f"{SCRATCH}{int(time.time())}_{secrets.token_hex(4)}")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        _make_database(engine, str(other.database))
        try:
            plain = without_password(other.set(drivername="postgresql"))
            command = [program, "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={plain}", str(dump)]
            secret = {"PGPASSWORD": url.password} if url.password else {}
            done = subprocess.run(command, env=os.environ | secret, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BackupError(
                    "the dump of the ledger cannot be loaded",
                    where=str(dump),
                    seen=done.stderr.strip()[-500:],
                    expected="pg_restore ends with 0",
                    cure="do what pg_restore says; keep the backups before this one",
                )
            yield other.render_as_string(hide_password=False)
        finally:
            with engine.connect() as connection:
                connection.execute(text(f"DROP DATABASE {other.database} WITH (FORCE)"))
    finally:
        engine.dispose()


def _make_database(engine: Engine, name: str) -> None:
    try:
        with engine.connect() as connection:
            _drop_left_over(connection)
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    except ProgrammingError as error:
        raise BackupError(
            "no database could be made to prove the dump of the ledger in",
            where=engine.url.render_as_string(hide_password=True),
            seen=str(error.orig).strip()[:300],
            expected="a user who may make one",
            cure="as the server's administrator: ALTER ROLE … CREATEDB",
        ) from None


def _drop_left_over(connection: Connection) -> None:
    """Drop what a drill that was killed a day or more ago has left."""
    names = connection.scalars(text("SELECT datname FROM pg_database WHERE starts_with(datname, :p)"), {"p": SCRATCH})
    for name in names.all():
        began = name.removeprefix(SCRATCH).partition("_")[0]
        if began.isdigit() and time.time() - int(began) > A_DAY and name.replace("_", "").isalnum():
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


def _program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs; BackupError if it is not here."""
    path = shutil.which(name)
    if path is None:
        raise BackupError(
            f"a ledger in PostgreSQL needs {name}, which is not here",
            where="PATH",
            expected=f"{name} of the server's version or a later one",
            cure="install PostgreSQL's client programs",
        )
    return path


def without_password(address: URL) -> str:
    """Return an address as text without its password."""
    return address._replace(password=None).render_as_string()


def _copy_of(name: str, path: Path, rows: list[Any]) -> LedgerCopy:
    models, bentos, runs = ({str(row[column]) for row in rows if row[column] is not None} for column in range(3))
    return LedgerCopy(name, path, models, bentos, runs)
