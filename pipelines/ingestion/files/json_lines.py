"""The columns of a JSON lines file, and the SQL that reads them."""

# ruff: noqa: S608 - names and paths are quoted by identifier and literal
from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from pipelines.errors import DataError
from pipelines.ingestion.files.kinds import EXACT_DIGITS, MOST_DIGITS, Kind, of_duckdb
from pipelines.ingestion.files.names import distinct
from pipelines.ingestion.files.sources import unreadable
from pipelines.ingestion.spec import Files
from pipelines.quoting import identifier, literal, options_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class JsonLines:
    """Columns of a JSON lines file; its lines are in a table of the connection.

    Parameters
    ----------
    keys
        What the objects call the columns.
    said
        What a user should know of how the file was read.
    """

    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    keys: tuple[str, ...]
    said: tuple[str, ...] = field(default=(), compare=False)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kind of each column."""
        return tuple(map(of_duckdb, self.types))


def json_way(
    connection: DuckDBPyConnection, file: Path, spec: Files, table: str, wanted: Collection[str] = ()
) -> JsonLines:
    """Read the lines of a JSON file into ``table`` (n, line, fits) and find their columns.

    Whole numbers become BIGINT, or the type that holds their digits, others DOUBLE, truth values BOOLEAN; texts,
    columns with values of several kinds, and nested values (as their JSON text) VARCHAR. A line that is no JSON object
    does not fit.

    Raises
    ------
    DataError
        If the file is unreadable or no line fits.
    """
    options = options_of(
        {
            "auto_detect": "false",
            "header": "false",
            "delim": literal("\x01"),
            "quote": "''",
            "escape": "''",
            "encoding": literal(spec.encoding or "utf-8"),
            "columns": "{'line': 'VARCHAR'}",
            "store_rejects": "true",
            "rejects_limit": "0",
        }
    )
    fits = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
    try:
        connection.execute(
            f"CREATE OR REPLACE TABLE {table} AS SELECT n, line, {fits} AS fits FROM "
            f"(SELECT line, row_number() OVER () AS n FROM read_csv({literal(str(file))}, {options})) "
            "WHERE trim(line) <> ''"
        )
        # the file's beginning decides the order of the columns
        found = connection.execute(
            f"SELECT json_group_structure(CAST(line AS JSON)) FROM (SELECT line FROM {table} WHERE fits ORDER BY n)"
        ).fetchall()[0]
    except duckdb.Error as error:
        raise unreadable(file, str(error).splitlines()[0]) from None
    shape = json.loads(found[0]) if found and found[0] else None
    if not isinstance(shape, dict):
        raise DataError(
            "a source file holds no JSON object",
            where=str(file),
            seen="no line that is one",
            expected="one JSON object a line",
            cure="deliver the file again as JSON lines, or leave it out of 'path'",
        )
    types = {name: _json_type(kind) for name, kind in shape.items()}
    try:
        types |= _with_all_digits(connection, table, types)
    except duckdb.Error as error:
        raise unreadable(file, str(error).splitlines()[0]) from None
    own, said = distinct(list(types), str(file), wanted)
    return JsonLines(table, own, tuple(types.values()), tuple(types), tuple(said))


def _with_all_digits(connection: DuckDBPyConnection, table: str, types: Mapping[str, str]) -> dict[str, str]:
    """Return the types of number columns with whole numbers beyond BIGINT or beyond the exact range of a DOUBLE."""
    numbers = {name: kind for name, kind in types.items() if kind in ("BIGINT", "DOUBLE")}
    if not numbers:
        return {}
    names = tuple(numbers)
    way = JsonLines(table, names, ("VARCHAR",) * len(names), names)
    read, cells = transformed(way), cells_of(way)
    parts = []
    for name in numbers:
        cell = cells[name]
        whole = f"regexp_full_match({cell}, '-?[0-9]+')"
        parts += [
            f"max(length(ltrim({cell}, '-'))) FILTER ({whole})",
            f"count(*) FILTER (NOT {whole})",
            f"bool_and(TRY_CAST({cell} AS BIGINT) IS NOT NULL) FILTER ({whole})",
            f"bool_and(TRY_CAST({cell} AS UBIGINT) IS NOT NULL) FILTER ({whole})",
        ]
    seen = connection.execute(f"SELECT {', '.join(parts)} FROM ({read})").fetchall()[0]
    found = {}
    for index, name in enumerate(numbers):
        digits, others, signed, unsigned = seen[4 * index : 4 * index + 4]
        digits = digits or 0
        if others:
            found[name] = "DOUBLE" if digits <= EXACT_DIGITS else "VARCHAR"
        elif not signed:
            found[name] = "UBIGINT" if unsigned else f"DECIMAL({MOST_DIGITS},0)" if digits <= MOST_DIGITS else "VARCHAR"
        else:
            found[name] = "BIGINT"
    return found


def transformed(way: JsonLines) -> str:
    """Return the SELECT of the objects as structs ``j``, and of their lines."""
    kinds = dict(zip(way.keys, [kind if kind != "NULL" else "VARCHAR" for kind in way.types], strict=True))
    shape = json.dumps({key: kind for key, kind in kinds.items() if key not in _hidden(way.keys)})
    return (
        f"SELECT json_transform(CAST(line AS JSON), {literal(shape)}) AS j, line FROM {way.table} WHERE fits ORDER BY n"
    )


def cells_of(way: JsonLines) -> dict[str, str]:
    """Return the SQL of each column's cells in what :func:`transformed` selects."""
    hidden = _hidden(way.keys)
    found = {}
    for name, key, kind in zip(way.columns, way.keys, way.types, strict=True):
        pointer = literal("/" + key.replace("~", "~0").replace("/", "~1"))
        text = f"json_extract_string(CAST(line AS JSON), {pointer})"
        odd = text if kind in ("VARCHAR", "NULL") else f"TRY_CAST({text} AS {kind})"
        found[name] = odd if key in hidden else f"j.{identifier(key)}"
    return found


def _hidden(keys: Sequence[str]) -> set[str]:
    """Return the keys that a struct cannot hold: without a letter, or different from another only in case."""
    first: dict[str, str] = {}
    return {key for key in keys if not key or first.setdefault(key.lower(), key) != key}


def _json_type(kind: object) -> str:
    known = {"UBIGINT": "BIGINT", "BIGINT": "BIGINT", "HUGEINT": "BIGINT", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN"}
    return {**known, "NULL": "NULL"}.get(kind, "VARCHAR") if isinstance(kind, str) else "VARCHAR"
