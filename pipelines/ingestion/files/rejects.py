"""Lines of source files that do not fit the table: kept with the reason; too many stop the night."""

# ruff: noqa: S608 - values are quoted by literal
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.errors import MAX_FAULTS, DataError
from pipelines.ingestion.files.json_lines import JsonLines
from pipelines.ingestion.files.sources import packing
from pipelines.quoting import literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

SCHEMA = pa.schema([("file", pa.string()), ("line", pa.int64()), ("reason", pa.string()), ("text", pa.string())])
"""Schema of the table ``rejected/``."""
MAX_TEXT = 10_000
"""Longer lines are cut to this many characters."""


def reset(connection: DuckDBPyConnection) -> None:
    """Clear the lines that the last read rejected."""
    connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")


def forget(connection: DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Remove the lines that an earlier read of these files rejected."""
    if _is_there(connection, "rejected"):
        connection.execute(f"DELETE FROM rejected WHERE {_among(files)}")


def files_with(connection: DuckDBPyConnection, kind: str) -> set[Path]:
    """Return the files of the last read that have lines which DuckDB rejected for this reason."""
    if not _is_there(connection, "reject_errors"):
        return set()
    found = connection.execute(
        "SELECT DISTINCT s.file_path FROM reject_errors e JOIN reject_scans s USING (scan_id, file_id) "
        "WHERE CAST(e.error_type AS VARCHAR) = ?",
        [kind],
    ).fetchall()
    return {Path(file) for (file,) in found}


def collect(
    connection: DuckDBPyConnection, json_files: dict[Path, JsonLines], copies: Mapping[Path, Path] | None = None
) -> int:
    """Add the lines that the last read rejected to the table ``rejected``; return their number.

    ``copies`` gives the files that were read in place of others.

    A quote that is never closed takes the lines behind it along: each of them counts.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS rejected (file VARCHAR, line BIGINT, reason VARCHAR, text VARCHAR, lines BIGINT)"
    )
    before = _count(connection)
    if _is_there(connection, "reject_errors"):
        text = "min(coalesce(e.csv_line, ''))"
        connection.execute(
            f"INSERT INTO rejected SELECT s.file_path, e.line, "
            "min(lower(CAST(e.error_type AS VARCHAR)) || ': ' || e.error_message), "
            f"{text}[:{MAX_TEXT}], CASE WHEN bool_or(CAST(e.error_type AS VARCHAR) = 'LINE SIZE OVER MAXIMUM') THEN 1 "
            f"ELSE 1 + length(rtrim({text}, chr(10) || chr(13))) "
            f"- length(replace(rtrim({text}, chr(10) || chr(13)), chr(10), '')) END "
            "FROM reject_errors e JOIN reject_scans s USING (scan_id, file_id) GROUP BY 1, 2 ORDER BY 1, 2"
        )
    for file, copied in (copies or {}).items():
        connection.execute("UPDATE rejected SET file = ? WHERE file = ?", [str(file), str(copied)])
    for file, way in json_files.items():
        connection.execute(
            f"INSERT INTO rejected SELECT {literal(str(file))}, n, 'not a JSON object', line[:{MAX_TEXT}], 1 "
            f"FROM {way.table} WHERE NOT fits ORDER BY n"
        )
    reset(connection)
    return _count(connection) - before


def judge(connection: DuckDBPyConnection, files: Sequence[Path], rows: int, max_share: float) -> None:
    """Raise if more lines were rejected than the spec allows.

    Raises
    ------
    DataError
        Naming the first lines; also when a file breaks off in its last line, as a file does that is still written.
    """
    if not _is_there(connection, "rejected"):
        return
    chosen = _among(files)
    broken = _broken_off(connection, files)
    if broken:
        raise DataError(
            "a source file breaks off in its last line",
            where=", ".join(str(file) for file in broken[:3]),
            seen="a last line without its end, shorter than the others",
            expected="a whole file",
            cure="deliver files under another name and rename them when they are whole; then clear the failed task",
            faults=[f"{file.name}: breaks off" for file in broken],
        )
    counted = connection.execute(f"SELECT coalesce(sum(lines), 0) FROM rejected WHERE {chosen}").fetchall()[0]
    lines = int(counted[0]) if counted else 0
    if lines <= max_share * (rows + lines):
        return
    shown = connection.execute(
        f"SELECT file, line, reason FROM rejected WHERE {chosen} ORDER BY file, line LIMIT {MAX_FAULTS}"
    ).fetchall()
    named = list(dict.fromkeys(file for file, *_ in shown))
    allowed = f"at most {max_share:.2%} of the lines (max_rejected), and " if max_share else ""
    raise DataError(
        "source lines that do not fit the table",
        where=", ".join(named[:3]) + (" …" if len(named) > 3 else ""),
        seen=f"{lines} line(s) of {rows + lines} ({lines / (rows + lines):.2%})",
        expected=allowed + "every line with as many values as the file has columns, quotes closed, one encoding",
        cure="correct these lines where the file is made, or name 'separator' and 'encoding' in Files",
        faults=[f"{Path(file).name} line {line}: {reason}" for file, line, reason in shown],
    )


def table(connection: DuckDBPyConnection, files: Sequence[Path] | None = None) -> pa.Table:
    """Return the rejected lines (of these files): file, line (counted from 1), reason and text, in this order."""
    if not _is_there(connection, "rejected"):
        return SCHEMA.empty_table()
    where = f"WHERE {_among(files)}" if files is not None else ""
    found: pa.Table = connection.sql(
        f"SELECT file, line, reason, text FROM rejected {where} ORDER BY file, line"
    ).to_arrow_table()
    return found.cast(SCHEMA)


def _broken_off(connection: DuckDBPyConnection, files: Sequence[Path]) -> list[Path]:
    last = connection.execute(
        f"SELECT file, arg_max(text, line), arg_max(reason, line) FROM rejected WHERE {_among(files)} GROUP BY file"
    ).fetchall()
    return sorted(
        Path(file)
        for file, text, reason in last
        if text
        and reason.startswith(("missing columns", "unquoted value", "not a JSON"))
        and _ends_with(Path(file), text)
    )


def _ends_with(file: Path, text: str) -> bool:
    """Tell whether a plain file ends with this text and no line end."""
    tail = text.rstrip("\r\n").encode(errors="replace")[-200:]
    if packing(file.name) or not tail:
        return False
    with file.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - len(tail)))
        return stream.read() == tail


def _among(files: Sequence[Path]) -> str:
    return "file IN (" + (", ".join(literal(str(file)) for file in files) or "''") + ")"


def _count(connection: DuckDBPyConnection) -> int:
    found = connection.execute("SELECT count(*) FROM rejected").fetchall()[0]
    return int(found[0]) if found else 0


def _is_there(connection: DuckDBPyConnection, name: str) -> bool:
    found = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = ?", [name]).fetchall()[0]
    return bool(found and found[0])
