"""Reads files into one DuckDB table, every value as received."""

# ruff: noqa: S608 - names and paths are quoted by pipelines.ingestion.formats
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import duckdb

from pipelines.errors import DataError
from pipelines.ingestion import rejects
from pipelines.ingestion.formats import (
    JsonLines,
    Parquet,
    Partition,
    Way,
    families,
    is_json,
    is_parquet,
    json_way,
    parquet_way,
)
from pipelines.ingestion.sniff import Dialect, sniff
from pipelines.ingestion.sources import unreadable
from pipelines.ingestion.spec import Files
from pipelines.ingestion.texts import copied_as_utf8
from pipelines.ingestion.unite import columns_as_text, name_notices, selects

ON_DISK = 100_000_000
"""Sources with more bytes than this are read into a file, not into memory."""
MEMORY_GB = 1.0
"""DuckDB never plans with more than this; it spills. Only a wide table needs more: its buffers cannot spill."""
WIDE = 1_000
"""Columns from which on a table is wide."""
WIDE_GB = 0.0003
"""What DuckDB plans with for each column of a wide table of text."""


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
    """Columns that hold nothing but null, and whose files give them no type."""

    def internal(self, column: str) -> str:
        """Give the SQL name of a source column."""
        return f"c{self.columns.index(column)}"

    def kind(self, column: str) -> str:
        """Give the DuckDB type of a source column."""
        return self.kinds[self.columns.index(column)]


def connect(work: Path, nbytes: int, cores: int = 2, memory_gb: float = 4.0) -> duckdb.DuckDBPyConnection:
    """Open a private DuckDB that never loads an extension, spills to ``work`` and reads times as UTC."""
    work.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        str(work / "source.duckdb") if nbytes > ON_DISK else ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": str(cores),
            "memory_limit": f"{min(MEMORY_GB, max(0.5, memory_gb * 0.6)):.1f}GB",
            "temp_directory": str(work / "spill"),
        },
    )
    connection.execute("SET timezone = 'UTC'; SET enable_progress_bar = false")
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
) -> Source:
    """Read files into a table: united by column name, in the order of files and lines.

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

    Raises
    ------
    DataError
        If a file is unreadable, has doubled columns or more lines that do not fit than ``max_rejected``, or there is
        no row at all.
    """
    partitions, labels = partitions or {}, labels or {}
    ways: dict[Path, Way] = {}
    rejects.reset(connection)
    rejects.forget(connection, files)
    for place, file in enumerate(files):
        if is_parquet(file):
            ways[file] = parquet_way(file)
        elif is_json(file):
            ways[file] = json_way(connection, file, spec, f"{table}_lines{place}")
        else:
            ways[file] = sniff(file, spec)
    columns = list(dict.fromkeys(name for file in files for name in (*ways[file].columns, *partitions.get(file, ()))))
    known = {file: (*ways[file].columns, *partitions.get(file, ())) for file in files}
    notices = name_notices(files, columns, known, labels)
    as_text, changed = columns_as_text(ways, columns, labels)
    notices += changed
    given = {name for partition in partitions.values() for name in partition}
    given |= {name for way in ways.values() for name, family in families(way).items() if family != "null"}
    unknown = frozenset(columns) - given
    view = all(isinstance(way, Parquet) for way in ways.values()) and not copy
    if len(columns) >= WIDE and not view:
        _make_room(connection, len(columns))
    copies: dict[Path, Path] = {}
    while True:
        query = " UNION ALL ".join(selects(files, columns, ways, partitions, as_text, unknown, copies))
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
            odd = [file for file, way in ways.items() if isinstance(way, Dialect) and way.encoding == "latin-1"]
            if "not latin-1 encoded" in str(error) and odd:  # bytes that DuckDB takes for none
                copies |= copied_as_utf8(odd, _work(connection) / f"{table}_texts")
                ways |= {file: replace(cast("Dialect", ways[file]), encoding="utf-8") for file in odd}
                rejects.reset(connection)
                continue
            raise unreadable(_culprit(str(error), files, spec), str(error).splitlines()[0]) from None
        text = {file: way for file, way in ways.items() if isinstance(way, Dialect)}
        again = rejects.badly_encoded(connection) & text.keys() if spec.encoding is None else set()
        again = {file for file in again if text[file].encoding == "utf-8"}
        if not again:
            break
        rejects.reset(connection)
        ways |= {file: replace(text[file], encoding="latin-1") for file in again}
    json_files = {file: way for file, way in ways.items() if isinstance(way, JsonLines)}
    rejected = rejects.collect(connection, json_files, copies) if not view else 0
    for copy_of in copies.values():
        copy_of.unlink()
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
    notices += [f"{labels.get(file, file.name)} is neither UTF-8 nor latin-1; read as Windows-1252" for file in copies]
    kinds = kinds_of(connection, table)
    return Source(connection, columns, kinds, rows, list(files), notices, rejected, table, unknown)


def kinds_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Give the DuckDB type of the columns ``c0``, ``c1`` and so on of a table."""
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
    """Let DuckDB plan with what so many columns need, within the stage's memory; one thread, as each has buffers."""
    given = float(connection.execute("SELECT getvariable('memory_gb')").fetchall()[0][0])
    limit = min(0.9 * given, MEMORY_GB + columns * WIDE_GB)
    if limit > MEMORY_GB:
        connection.execute(f"SET memory_limit = '{limit:.1f}GB'; SET threads = 1")


def _work(connection: duckdb.DuckDBPyConnection) -> Path:
    """Give the folder that `connect` was given."""
    return Path(str(connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0])).parent


def _culprit(message: str, files: Sequence[Path], spec: Files) -> str:
    named = [str(file) for file in files if file.name in message]
    return named[0] if named else (str(files[0]) if len(files) == 1 else spec.path)
