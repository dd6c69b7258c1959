"""Reads the source files into one DuckDB table, every value as received."""

# ruff: noqa: S608 - names and paths are quoted by _identifier and _literal
from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import DataError
from pipelines.ingestion.sniff import Dialect, refuse_doubled, sniff
from pipelines.ingestion.sources import unreadable
from pipelines.ingestion.spec import Files

if TYPE_CHECKING:
    from collections.abc import Sequence

ON_DISK = 200_000_000
"""Sources with more bytes than this are read into a file, not into memory."""
REJECTS = 10_000


@dataclass
class Source:
    """The table ``source`` of a connection: column ``c0`` holds the source column ``columns[0]``, and so on.

    Internal names keep any source column name (spaces, slashes, quotes) out of SQL.
    """

    connection: duckdb.DuckDBPyConnection
    columns: list[str]
    kinds: list[str]
    """DuckDB type of each column; VARCHAR for all that came from CSV."""
    rows: int
    files: list[Path]
    notices: list[str] = field(default_factory=list)

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
            "memory_limit": f"{max(0.5, memory_gb * 0.6):.1f}GB",
            "temp_directory": str(work / "spill"),
        },
    )
    connection.execute("SET timezone = 'UTC'; SET enable_progress_bar = false")
    return connection


def load(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], spec: Files) -> Source:
    """Read the files into the table ``source``: united by column name, in the order of files and lines.

    CSV values stay text exactly as received: nothing is stripped; nothing between two separators is null, a quoted
    nothing is an empty text. Parquet keeps its own types.

    Raises
    ------
    DataError
        If a file is unreadable, has lines of the wrong width, doubled columns, or there is no row at all.
    """
    tables = {file: _parquet_columns(file) for file in files if file.suffix.lower() == ".parquet"}
    dialects = {file: sniff(file, spec) for file in files if file not in tables}
    columns = list(dict.fromkeys(
        name for file in files for name in (tables[file] if file in tables else dialects[file].columns)
    ))  # fmt: skip
    notices = _name_notices(files, columns, tables, dialects)
    while True:
        query = " UNION ALL ".join(_selects(files, columns, tables, dialects))
        kind = "TABLE" if dialects else "VIEW"
        connection.execute(
            "DROP TABLE IF EXISTS source; DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans"
        )
        try:
            connection.execute(f"CREATE {kind} source AS {query}")
            rejects = _rejects(connection) if dialects else []
            counted = connection.execute("SELECT count(*) FROM source").fetchone()
        except duckdb.Error as error:
            raise unreadable(_culprit(str(error), files, spec), str(error).splitlines()[0]) from None
        badly_encoded = {Path(file) for file, _, fault, _ in rejects if fault == "INVALID ENCODING"}
        again = {file for file in badly_encoded if dialects[file].encoding == "utf-8" and spec.encoding is None}
        if not again:
            break
        # sniffed anew: names in the header may hold the bytes that are not UTF-8
        dialects |= {file: replace(dialects[file], encoding="latin-1") for file in again}
    if rejects:
        raise _rejected(rejects)
    rows = int(counted[0]) if counted else 0
    if rows == 0:
        raise DataError(
            "the source holds no row",
            where=spec.path,
            seen=f"{len(files)} file(s), 0 rows",
            expected="at least one row of data",
            cure="check the delivery of the source, and 'header' in Files",
        )
    notices += [
        f"{file.name} is not UTF-8; read as latin-1"
        for file, dialect in dialects.items()
        if dialect.encoding == "latin-1" and spec.encoding is None
    ]
    described = connection.execute("DESCRIBE source").fetchall()
    return Source(connection, columns, [str(row[1]) for row in described], rows, list(files), notices)


def _name_notices(
    files: Sequence[Path], columns: list[str], tables: dict[Path, tuple[str, ...]], dialects: dict[Path, Dialect]
) -> list[str]:
    lowered: dict[str, str] = {}
    for name in columns:
        if lowered.setdefault(name.lower(), name) != name:
            refuse_doubled((lowered[name.lower()], name), files[-1])
    notices = []
    for file in files:
        absent = [name for name in columns if name not in (tables[file] if file in tables else dialects[file].columns)]
        if absent:
            notices.append(f"{file.name} lacks {', '.join(repr(name) for name in absent[:5])}; missing there")
    return notices[:20]


def _selects(
    files: Sequence[Path], columns: list[str], tables: dict[Path, tuple[str, ...]], dialects: dict[Path, Dialect]
) -> list[str]:
    """Give one SELECT per run of files written alike: rows keep the order of the files."""
    groups: list[tuple[object, list[Path]]] = []
    for file in files:
        way: object = tables.get(file) or dialects[file]
        if groups and groups[-1][0] == way:
            groups[-1][1].append(file)
        else:
            groups.append((way, [file]))
    selects = []
    for way, members in groups:
        names = "[" + ", ".join(_literal(str(file)) for file in members) + "]"
        if isinstance(way, Dialect):
            places = {name: f"s{place}" for place, name in enumerate(way.columns)}
            shape = ", ".join(f"'{place}': 'VARCHAR'" for place in places.values())
            options = {
                "auto_detect": "false",
                "header": str(way.header).lower(),
                "delim": _literal(way.separator),
                "quote": _literal('"'),
                "escape": _literal(way.escape),
                "encoding": _literal(way.encoding),
                "allow_quoted_nulls": "false",
                "columns": f"{{{shape}}}",
                "store_rejects": "true",
                "rejects_limit": str(REJECTS),
            }
            reader = f"read_csv({names}, {', '.join(f'{option}={value}' for option, value in options.items())})"
        else:
            places = {name: _identifier(name) for name in tables[members[0]]}
            reader = f"read_parquet({names}, union_by_name=true)"
        chosen = ", ".join(f"{places.get(name, 'NULL')} AS c{place}" for place, name in enumerate(columns))
        selects.append(f"SELECT {chosen} FROM {reader}")
    return selects


def _parquet_columns(file: Path) -> tuple[str, ...]:
    try:
        names = tuple(str(name) for name in pq.read_schema(file).names)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, str(error).splitlines()[0]) from None
    refuse_doubled(names, file)
    return names


def _rejects(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int, str, str]]:
    return connection.execute(
        "SELECT DISTINCT s.file_path, e.line, CAST(e.error_type AS VARCHAR), e.error_message FROM reject_errors e "
        "JOIN reject_scans s USING (scan_id, file_id) ORDER BY 1, 2"
    ).fetchall()


def _rejected(rejects: list[tuple[str, int, str, str]]) -> DataError:
    by_file: dict[str, int] = defaultdict(int)
    for file, *_ in rejects:
        by_file[file] += 1
    return DataError(
        "source lines that do not fit the table",
        where=", ".join(list(by_file)[:3]) + (" …" if len(by_file) > 3 else ""),
        seen=f"{'at least ' if len(rejects) >= REJECTS else ''}{len(rejects)} line(s)",
        expected="every line with as many values as the file has columns, quotes closed, one encoding",
        cure="correct these lines where the file is made, or name 'separator' and 'encoding' in Files",
        faults=[f"{Path(file).name} line {line}: {fault.lower()}: {message}" for file, line, fault, message in rejects],
    )


def _culprit(message: str, files: Sequence[Path], spec: Files) -> str:
    named = [str(file) for file in files if file.name in message]
    return named[0] if named else (str(files[0]) if len(files) == 1 else spec.path)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
