"""Opening the ledger: engine, migration, short transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite

from pipelines.locks import wait_for_lock
from pipelines.settings import Settings, make_private

HEAD = "0013"
BUSY_SECONDS = 30
CUT_OFF = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
"""How soon PostgreSQL's client gives up a server that no longer responds, instead of in a quarter of an hour."""


def now() -> datetime:
    """Return the current time in UTC, for timestamps in the ledger."""
    return datetime.now(UTC)


class Connected:
    """Holds the engine and the folder of log files; base of the ledger's parts.

    Use it as a context, or close it: it holds connections.
    """

    def __init__(self, engine: Engine, logs: Path) -> None:
        self.engine = engine
        self.logs = logs

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Connect to the ledger, bringing its tables up to date first."""
        make_private(settings.home)
        engine = make_engine(settings.ledger_address)
        if _revision(engine) != HEAD:
            migrate(engine, settings.home / ".ledger-migration.lock")
        if settings.ledger_url is None:
            settings.ledger_path.chmod(0o600)
        return cls(engine, settings.logs)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a short transaction; on SQLite it takes the write lock at once, so that it never fails half-way.

        PostgreSQL lets others write between two statements of it: what is written after it was read is locked when it
        is read (``with_for_update``, :func:`lock_table`), or both are one statement (:func:`upsert`, ``RETURNING``).
        """
        with self.engine.connect().execution_options(immediate=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold a name against every other machine with this ledger; on SQLite there is none, and a file is locked."""
        if self.engine.dialect.name != "postgresql":
            yield
            return
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_advisory_lock(hashtext(:name))"), {"name": f"aimass {name}"})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(hashtext(:name))"), {"name": f"aimass {name}"})


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Begin an ``INSERT … ON CONFLICT`` in the words of the connection's database."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def lock_table(connection: Connection, table: Table) -> None:
    """Block other transactions that take this lock until this one ends; readers never wait."""
    if connection.dialect.name == "postgresql":  # SQLite's transactions exclude each other
        connection.execute(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


def make_engine(address: str) -> Engine:
    """Make the engine for a ledger address."""
    if not address.startswith("sqlite"):
        return create_engine(address, pool_pre_ping=True, connect_args=CUT_OFF)
    engine = create_engine(address, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return _revision_of(connection)


def _revision_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def migrate(engine: Engine, lock: Path) -> None:
    """Migrate the tables to ``HEAD``; if several processes start at once, one migrates and the others wait."""
    from alembic import command
    from alembic.config import Config

    with wait_for_lock(lock):
        if _revision(engine) == HEAD:
            return
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with engine.connect().execution_options(immediate=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":  # another machine may be at it
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('aimass migration'))"))
                if _revision_of(connection) == HEAD:
                    return
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)
