"""Reads files into one DuckDB table, every value as received."""

# ruff: noqa: S608 - names and paths are quoted by pipelines.ingestion.files.formats
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.errors import DataError
from pipelines.ingestion.files import rejects
from pipelines.ingestion.files.copies import Copies
from pipelines.ingestion.files.csv_dialect import Dialect
from pipelines.ingestion.files.formats import Partition, kinds_of
from pipelines.ingestion.files.json_lines import JsonLines
from pipelines.ingestion.files.kinds import arrow_type, exported
from pipelines.ingestion.files.parquet_files import Parquet, rewritten
from pipelines.ingestion.files.schema_union import common_types, selects, settle
from pipelines.ingestion.files.sources import unreadable
from pipelines.ingestion.files.ways import columns_of, find_ways, lacking, said_of
from pipelines.ingestion.spec import Files

MEMORY_GB = 1.0
"""Memory limit of DuckDB, which spills beyond it; only a wide table gets more, as its buffers cannot spill."""
WIDE = 1_000
"""Number of columns from which a table counts as wide."""
WIDE_GB = 0.0003
"""Memory for each column of a wide table of text."""


@dataclass
class Source:
    """A table of a connection: column ``c0`` holds the source column ``columns[0]``, and so on.

    Internal names keep any source column name (spaces, slashes, quotes) out of SQL.
    """

    connection: duckdb.DuckDBPyConnection
    columns: list[str]
    kinds: list[str]
    """DuckDB type of each column; VARCHAR for all that came from CSV."""
    rows: int
    files: list[Path]
    notices: list[str] = field(default_factory=list)
    rejected: int = 0
    """Lines that do not fit, kept in the table ``rejected`` of the connection."""
    table: str = "source"
    """Name of the table or view."""
    unknown: frozenset[str] = frozenset()
    """Columns that hold only nulls and have no type in their files."""
    lacking: dict[str, int] = field(default_factory=dict)
    """For each column that some files lack, the number of such files among those with rows."""
    full: int = 0
    """Number of files with rows."""
    zone: str = "UTC"
    """Time zone of times without one."""

    def internal(self, column: str) -> str:
        """Return the SQL name of a source column."""
        return f"c{self.columns.index(column)}"

    def kind(self, column: str) -> str:
        """Return the DuckDB type of a source column."""
        return self.kinds[self.columns.index(column)]


def connect(work: Path, cores: int = 2, memory_gb: float = 4.0) -> duckdb.DuckDBPyConnection:
    """Open a private DuckDB that never loads an extension, spills to ``work`` and reads times as UTC."""
    work.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        ":memory:",  # four times as quick as a file, and no larger: what does not fit is spilled
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": str(cores),
            "memory_limit": f"{min(MEMORY_GB, max(0.5, memory_gb * 0.6)):.1f}GB",
            "temp_directory": str(work / "spill"),
        },
    )
    connection.execute("SET timezone = 'UTC'; SET enable_progress_bar = false")
    # else IN with more than a few constants becomes a join, behind which rows come out in another order
    connection.execute("SET disabled_optimizers = 'in_clause'")
    connection.execute("SET VARIABLE memory_gb = ?", [memory_gb])
    return connection


def load(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    spec: Files,
    *,
    table: str = "source",
    partitions: Mapping[Path, Partition] | None = None,
    labels: Mapping[Path, str] | None = None,
    judge: bool = True,
    copy: bool = False,
    wanted: Collection[str] = (),
) -> Source:
    """Read files into one table, united by column name, in the order of files and lines.

    CSV values stay text exactly as received: nothing is stripped; nothing between two separators is null, a quoted
    nothing is an empty text. Parquet and JSON lines keep their types; a column whose type differs between files is
    read as the wider one, and as text where one is text, a truth value or a moment and the other is not.

    Parameters
    ----------
    table
        Name of the table; a view where nothing but Parquet is read, unless ``copy``.
    partitions
        Columns that a file's path gives (``day=2026-01-02/``).
    labels
        Names to call files by in notices.
    judge
        Stop when too many lines do not fit or there is no row; else the caller does.
    wanted
        Names of columns that the model needs: the line that holds them is the header, and columns whose names differ
        from them in case only are called by them.

    Raises
    ------
    DataError
        If a file is unreadable, has a wanted column twice or more lines that do not fit than ``max_rejected``, or there
        is no row at all.
    """
    partitions, labels = partitions or {}, labels or {}
    rejects.reset(connection)
    rejects.forget(connection, files)
    copies = Copies(files, _work(connection) / f"{table}_files")
    ways, notices = find_ways(connection, files, copies, spec, table, wanted, labels)
    full = [file for file in files if ways[file].columns]
    if not full:
        return _nothing(connection, files, spec, table, said_of(ways, labels), judge=judge)
    columns = list(dict.fromkeys(name for file in full for name in (*ways[file].columns, *partitions.get(file, ()))))
    known = columns_of(ways, partitions)
    lacks, told = lacking(known, labels)
    types, changed = common_types(ways, columns, labels)
    for file, way in ways.items():
        if isinstance(way, Parquet) and way.rewritten:
            copies.make(file, partial(rewritten, way.rewritten))
    notices += [*told, *changed, *settle(connection, types, ways, copies.paths)]
    given = {name for partition in partitions.values() for name in partition}
    given |= {name for way in ways.values() for name, kind in kinds_of(way).items() if kind.family != "null"}
    unknown = frozenset(columns) - given
    view = all(isinstance(ways[file], Parquet) for file in full) and not copy
    if len(columns) >= WIDE and not view:
        _make_room(connection, len(columns))
    while True:
        query = " UNION ALL ".join(selects(full, columns, ways, partitions, types, unknown, copies.paths))
        drop(connection, table)
        try:
            connection.execute(f"CREATE {'VIEW' if view else 'TABLE'} {table} AS {query}")
            counted = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
        except duckdb.OutOfMemoryException as error:
            raise DataError(
                "too little memory for so many columns",
                where=", ".join(str(file) for file in files[:3]),
                seen=f"{len(columns)} columns; {str(error).splitlines()[0]}",
                expected=f"about {len(columns) * WIDE_GB + MEMORY_GB:.1f} GB for a table of text of that width",
                cure="give the stage more memory (AIMASS_MEMORY_GB), or deliver fewer columns, or Parquet",
            ) from None
        except duckdb.Error as error:
            again = copies.again(connection, ways, spec, str(error))
            if not again:
                raise unreadable(_culprit(str(error), files, spec, copies), str(error).splitlines()[0]) from None
        else:
            again = copies.again(connection, ways, spec)
        if not again:
            break
        rejects.reset(connection)
        ways |= again
    json_files = {file: way for file, way in ways.items() if isinstance(way, JsonLines)}
    rejected = rejects.collect(connection, json_files, copies.paths) if not view else 0
    if not view:  # which reads its copies later; they lie in the work folder
        copies.remove()
    for way in json_files.values():
        connection.execute(f"DROP TABLE IF EXISTS {way.table}")
    rows = int(counted[0]) if counted else 0
    if judge:
        rejects.judge(connection, files, rows, spec.max_rejected)
        refuse_empty(rows, files, spec)
    notices += [
        f"{labels.get(file, file.name)} is not UTF-8; read as latin-1"
        for file, way in ways.items()
        if isinstance(way, Dialect) and way.encoding == "latin-1" and spec.encoding is None
    ]
    notices = [*said_of(ways, labels), *notices]
    kinds = types_of(connection, table)
    return Source(connection, columns, kinds, rows, list(files), notices, rejected, table, unknown, lacks, len(known))


def _nothing(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    spec: Files,
    table: str,
    notices: list[str],
    *,
    judge: bool,
) -> Source:
    """Return an empty table for files without content, not even a header."""
    if judge:
        raise DataError(
            "a source file is empty" if len(files) == 1 else "all source files are empty",
            where=", ".join(str(file) for file in files[:3]),
            seen="nothing but blanks",
            expected="rows of data",
            cure="deliver the file again, or leave it out of 'path'",
        )
    drop(connection, table)
    connection.execute(f"CREATE TABLE {table} (nothing INTEGER)")
    return Source(connection, [], [], 0, list(files), notices, table=table)


def arrow_select(source: Source, names: Sequence[str] | None = None) -> tuple[str, list[pa.DataType]]:
    """Return the SELECT list of columns of a source, by default all, as they go out to Arrow, and their types there."""
    position = {name: index for index, name in enumerate(source.columns)}
    chosen = position.values() if names is None else [position[name] for name in names]
    kinds = {f"c{index}": source.kinds[index] for index in chosen}
    select = ", ".join(f"{exported(column, kind)} AS {column}" for column, kind in kinds.items())
    probe = source.connection.sql(f"SELECT {select} FROM {source.table} LIMIT 0").to_arrow_table().schema
    return select, [arrow_type(kind, given) for kind, given in zip(kinds.values(), probe.types, strict=True)]


def stored(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a column that came out of :func:`arrow_select` in its type."""
    if pa.types.is_duration(kind) and pa.types.is_integer(column.type):
        return column.cast(pa.int64()).view(kind)
    return column.cast(kind)


def to_arrow(source: Source) -> pa.Table:
    """Return all rows of a source, in memory, with the types that a night stores."""
    select, kinds = arrow_select(source)
    table = source.connection.sql(f"SELECT {select} FROM {source.table}").to_arrow_table()
    columns = [
        pa.chunked_array([stored(chunk, kind) for chunk in column.chunks], kind)
        for column, kind in zip(table.columns, kinds, strict=True)
    ]
    return pa.table(columns, names=source.columns)


def types_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Return the DuckDB type of the columns ``c0``, ``c1`` and so on of a table."""
    kinds = {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE {table}").fetchall()}
    return [kinds[name] for name in sorted((name for name in kinds if name[0] == "c"), key=lambda name: int(name[1:]))]


def refuse_empty(rows: int, files: Sequence[Path], spec: Files) -> None:
    """Raise when there is no row."""
    if rows == 0:
        raise DataError(
            "the source holds no row",
            where=spec.path,
            seen=f"{len(files)} file(s), 0 rows",
            expected="at least one row of data",
            cure="check the delivery of the source, and 'header' in Files",
        )


def drop(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Drop a table or view, if it is there."""
    views = connection.execute("SELECT count(*) FROM duckdb_views() WHERE view_name = ?", [table]).fetchall()[0]
    connection.execute(f"DROP {'VIEW' if views and views[0] else 'TABLE'} IF EXISTS {table}")


def _make_room(connection: duckdb.DuckDBPyConnection, columns: int) -> None:
    """Allow DuckDB the memory for this many columns, within the stage's limit; one thread, as each has buffers."""
    given = float(connection.execute("SELECT getvariable('memory_gb')").fetchall()[0][0])
    limit = min(0.9 * given, MEMORY_GB + columns * WIDE_GB)
    if limit > MEMORY_GB:
        connection.execute(f"SET memory_limit = '{limit:.1f}GB'; SET threads = 1")


def _work(connection: duckdb.DuckDBPyConnection) -> Path:
    """Return the folder that `connect` was given."""
    return Path(str(connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0])).parent


def _culprit(message: str, files: Sequence[Path], spec: Files, copies: Copies) -> str:
    named = [str(file) for file in files if file.name in message or str(copies.path(file)) in message]
    return named[0] if named else (str(files[0]) if len(files) == 1 else spec.path)
