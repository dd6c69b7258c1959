"""Reads the result of a query in batches into Parquet, with its types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_chain, wait_fixed

from pipelines.errors import AimassError, DataError, SpecError
from pipelines.ingestion.database.connections import find_address, scrubbed
from pipelines.ingestion.database.sql_cells import CellColumn, column_array, columns_of, later, prepare
from pipelines.ingestion.files.names import refuse_doubled
from pipelines.ingestion.files.sources import SourceAwayError
from pipelines.ingestion.spec import Sql
from pipelines.settings import make_private
from pipelines.storage import disk_errors

BATCH = 50_000
"""Rows held in memory at once."""
WAITS = (0.5, 2.0)
"""Seconds before further attempts to connect."""
_UNCONNECTED = (exc.OperationalError, exc.InterfaceError)
_STATES = {"42601": SpecError, "42P01": DataError, "42703": DataError, "42501": SpecError}
"""PostgreSQL's error codes: syntax, no such table, no such column, no right to read."""
_AWAY = ("08", "40", "53", "55P03", "57P")
"""Its codes of transient errors: connection, conflicts, too little memory or too few connections, locks, shutdown."""


@dataclass(frozen=True)
class Fetched:
    """The rows of one read of a database."""

    files: list[Path]
    """Parquet, in order; a new file begins where a column's type changes."""
    rows: int
    watermark: Any = None
    """The largest value of ``since`` among these rows; None without rows."""


def fetch(source: Sql, folder: Path, since: Any = None, batch: int = BATCH) -> Fetched:
    """Stream the rows of a query into Parquet files.

    How the cells are kept: :func:`pipelines.ingestion.database.sql_cells.column_array`.

    Parameters
    ----------
    since
        Only rows whose ``source.since`` is this value or beyond it; None: all.

    Raises
    ------
    SpecError, DataError
        Unknown connection or driver, refused credentials, a query that is not one SELECT or does not run, doubled
        columns, no column ``source.since``; never shows the password.
    SourceAwayError
        The server does not respond, or broke off while it was read: transient.
    """
    query = _select(source)
    address = find_address(source.connection)
    with _typed(source, address), _connected(source, address) as connection:
        statement, values = sa.text(query.replace(":", r"\:")), {}
        if source.since is not None and since is not None:
            column = connection.dialect.identifier_preparer.quote(source.since)
            # the query is the engineer's own; the value is bound
            bounded = f"SELECT * FROM ({query.replace(':', chr(92) + ':')}\n) AS known_rows WHERE {column} >= :since"  # noqa: S608
            statement, values = sa.text(bounded), {"since": since}
        prepare(connection)
        result = connection.execution_options(stream_results=True, yield_per=batch).execute(statement, values)
        columns = columns_of(connection, result)
        names = [column.name for column in columns]
        where = Path(f"connection {source.connection!r}")
        refuse_doubled(tuple(names), where)
        if source.since is not None and source.since not in names:
            raise SpecError(
                "'since' names no column of the query",
                where=f"connection {source.connection!r}",
                seen=", ".join(names[:20]),
                expected=repr(source.since),
                cure="select that column too, or correct 'since' in Sql",
            )
        return _write(columns, result.partitions(batch), make_private(folder), source.since)


def _write(columns: Sequence[CellColumn], parts: Iterator[Sequence[Any]], folder: Path, since: str | None) -> Fetched:
    names = [column.name for column in columns]
    growing = next((column for column in columns if column.name == since), None)
    files: list[Path] = []
    writer: pq.ParquetWriter | None = None
    count, mark = 0, None
    try:
        with disk_errors(folder):
            for rows in parts:
                cells = zip(*rows, strict=True)
                table = pa.table([column_array(*pair) for pair in zip(cells, columns, strict=True)], names=names)
                if writer is not None:
                    table = _fitted(table, writer.schema)
                if writer is None or table.schema != writer.schema:
                    if writer is not None:
                        writer.close()
                    files.append(folder / f"rows-{len(files):05d}.parquet")
                    writer = pq.ParquetWriter(files[-1], table.schema, compression="zstd", write_page_checksum=True)
                writer.write_table(table)
                count += table.num_rows
                mark = None if growing is None else later(mark, table[growing.name], growing)
            if writer is None:
                empty = pa.table([pa.nulls(0)] * len(names), names=names)
                files.append(folder / "rows-00000.parquet")
                writer = pq.ParquetWriter(files[0], empty.schema, compression="zstd", write_page_checksum=True)
    finally:
        if writer is not None:
            writer.close()
    return Fetched(files, count, mark)


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast columns that hold only nulls, or whole numbers among floats, to the type of the file."""
    for index, (now, then) in enumerate(zip(table.schema, schema, strict=True)):
        if now.type != then.type and (pa.types.is_null(now.type) or (_whole(now.type) and then.type == pa.float64())):
            table = table.set_column(index, then, table.column(index).cast(then.type))
    return table


def _whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind))


def _select(source: Sql) -> str:
    query = source.query.strip().rstrip(";").strip()
    bare = re.sub(r"(--[^\n]*\n)|(/\*.*?\*/)", " ", query, flags=re.DOTALL).lstrip(" \n\t(").lower()
    if not bare.startswith(("select", "with", "values", "table")):
        raise SpecError(
            "a query is not a SELECT",
            where=f"connection {source.connection!r}",
            seen=query[:80],
            expected="one SELECT",
            cure="correct 'query' in Sql",
        )
    return query


@contextmanager
def _connected(source: Sql, address: URL) -> Iterator[Connection]:
    """Open a read-only connection; retry for a while if the server does not respond."""
    file = address.database if address.drivername.startswith("sqlite") else None
    if file and file != ":memory:" and not Path(file).exists():  # opening it would make an empty one
        raise _not_connected(source, address, "the file does not exist")
    try:
        engine = sa.create_engine(address, poolclass=sa.pool.NullPool, connect_args=_arguments(address))
    except (exc.ArgumentError, ImportError) as error:
        raise SpecError(
            "a database has no driver here",
            where=f"connection {source.connection!r}",
            seen=scrubbed(f"{address.drivername}: {str(error).splitlines()[0]}", address),
            expected="an installed SQLAlchemy driver, such as postgresql+psycopg",
            cure="install the driver beside this package, or correct the connection",
        ) from None
    connection = _connect(source, engine, address)
    try:
        if address.drivername.startswith("postgresql"):
            connection = connection.execution_options(postgresql_readonly=True)
        yield connection
    finally:
        connection.close()
        engine.dispose()


def _connect(source: Sql, engine: Engine, address: URL) -> Connection:
    """Connect; retry if the server does not respond, but not if it refuses."""

    def told(error: exc.DBAPIError) -> str:
        return scrubbed(str(error.orig or error), address)

    asking = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, _UNCONNECTED) and not _is_refusal(told(error))),
        wait=wait_chain(*map(wait_fixed, WAITS)),
        stop=stop_after_attempt(len(WAITS) + 1),
        reraise=True,
    )
    try:
        return asking(engine.connect)
    except _UNCONNECTED as error:
        raise _not_connected(source, address, told(error)) from None


def _arguments(address: URL) -> dict[str, Any]:
    if address.drivername.startswith("postgresql"):
        return {"connect_timeout": 10}
    return {}


@contextmanager
def _typed(source: Sql, address: URL) -> Iterator[None]:
    """Turn the driver's errors into typed ones without the password."""
    try:
        yield
    except exc.DBAPIError as error:
        text = scrubbed(str(error.orig or error), address).strip()
        state = getattr(error.orig, "sqlstate", None)
        if error.connection_invalidated or (state or "").startswith(_AWAY) or "database is locked" in text:
            raise SourceAwayError(
                "a database broke off while it was read",
                where=f"connection {source.connection!r}",
                seen=text.splitlines()[0],
                expected="the whole result of the query",
                cure="nothing was kept of it; the next attempt reads it again",
            ) from None
        wrong = "syntax error" in text
        cls = _STATES.get(state or "", SpecError if wrong else DataError)
        raise cls(
            "a query cannot be run" if cls is SpecError else "a database does not give what the query asks for",
            where=f"connection {source.connection!r}",
            seen=text.splitlines()[0] if text else type(error).__name__,
            expected="a SELECT that this user may run",
            cure="correct 'query' in Sql" if cls is SpecError else "ask the owner of the database, or correct 'query'",
        ) from None


def _is_refusal(text: str) -> bool:
    marks = ("authentication", "password", "role", "does not exist", "denied", "permission", "unable to open")
    return any(mark in text.lower() for mark in marks)


def _not_connected(source: Sql, address: URL, text: str) -> AimassError:
    shown = scrubbed(address.set(password=None).render_as_string(), address)
    if _is_refusal(text):
        return SpecError(
            "a database refuses the connection",
            where=f"connection {source.connection!r}",
            seen=text.splitlines()[0],
            expected=f"user, password and database that {shown} accepts",
            cure="correct the connection",
        )
    return SourceAwayError(
        "a database does not respond",
        where=f"connection {source.connection!r}",
        seen=text.splitlines()[0] if text else "no response",
        expected=f"a server at {shown}",
        cure="start it or correct the connection; then clear the failed task",
    )
