"""How each file of a table is written, and the SQL that reads it: CSV, Parquet, JSON lines."""

# ruff: noqa: S608 - names and paths are quoted by identifier and literal
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import DataError
from pipelines.ingestion.sniff import Dialect, refuse_doubled
from pipelines.ingestion.sources import unreadable
from pipelines.ingestion.spec import Files

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

JSON_LINES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
Partition = Mapping[str, str | None]


@dataclass(frozen=True)
class Parquet:
    """Columns and Arrow types of a Parquet file."""

    columns: tuple[str, ...]
    types: tuple[str, ...]

    def families(self) -> dict[str, str]:
        """Give what kind of value each column holds."""
        return dict(zip(self.columns, map(_family, self.types), strict=True))


@dataclass(frozen=True)
class JsonLines:
    """Columns of a file with one JSON object a line; its lines lie in a table of the connection."""

    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    strict: bool

    def families(self) -> dict[str, str]:
        """Give what kind of value each column holds."""
        return dict(zip(self.columns, map(_family, self.types), strict=True))


Way = Dialect | Parquet | JsonLines


def families(way: Way) -> dict[str, str]:
    """Give what kind of value each column of a file holds: text, number, bool, moment, interval, null or other."""
    return dict.fromkeys(way.columns, "text") if isinstance(way, Dialect) else way.families()


def is_parquet(file: Path) -> bool:
    """Tell a Parquet file by its name."""
    return file.suffix.lower() == ".parquet"


def is_json(file: Path) -> bool:
    """Tell a file of JSON lines by its name."""
    return file.name.lower().endswith(JSON_LINES)


def parquet_way(file: Path) -> Parquet:
    """Read a Parquet file's columns; refuses doubled names."""
    try:
        with pq.ParquetFile(file) as opened:
            schema, stored = opened.schema_arrow, opened.schema
            leaves = [stored.column(place) for place in range(len(stored))]
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, str(error).splitlines()[0]) from None
    names = tuple(str(name) for name in schema.names)
    refuse_doubled(names, file)
    spans = {leaf.path for leaf in leaves if leaf.converted_type == "INTERVAL"}  # Arrow takes these for bytes
    types = [str(kind.value_type if pa.types.is_dictionary(kind) else kind) for kind in schema.types]
    return Parquet(names, tuple("interval" if name in spans else kind for name, kind in zip(names, types, strict=True)))


def json_way(connection: DuckDBPyConnection, file: Path, spec: Files, table: str) -> JsonLines:
    """Read the lines of a JSON file into ``table`` (n, line, fits) and find their columns.

    Whole numbers become BIGINT, others DOUBLE, truth values BOOLEAN; texts, columns with values of several kinds, and
    nested values (as their JSON text) VARCHAR. A line that is no JSON object does not fit.

    Raises
    ------
    DataError
        If the file is unreadable or no line fits.
    """
    options = _options({
        "auto_detect": "false", "header": "false", "delim": literal("\x01"), "quote": "''", "escape": "''",
        "encoding": literal(spec.encoding or "utf-8"), "columns": "{'line': 'VARCHAR'}", "store_rejects": "true",
        "rejects_limit": "0",
    })  # fmt: skip
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
    names = tuple(str(name) for name in shape)
    refuse_doubled(names, file)
    types = tuple(_json_type(kind) for kind in shape.values())
    way = JsonLines(table, names, types, strict=True)
    try:
        connection.execute(f"SELECT count(j) FROM ({_transformed(way)})")
    except duckdb.Error:  # a whole number beyond 64 bits
        way = JsonLines(table, names, tuple("DOUBLE" if kind == "BIGINT" else kind for kind in types), strict=False)
    return way


def select(
    files: Sequence[Path], way: Way, columns: Sequence[str], partition: Partition, as_text: Mapping[str, bool]
) -> str:
    """Give the SELECT that reads files written alike as columns ``c0``, ``c1`` and so on."""
    paths = "[" + ", ".join(literal(str(file)) for file in files) + "]"
    places = {name: identifier(name) for name in way.columns}
    if isinstance(way, Dialect):
        places = {name: f"s{place}" for place, name in enumerate(way.columns)}
        shape = ", ".join(f"'{place}': 'VARCHAR'" for place in places.values())
        options = {
            "auto_detect": "false",
            "header": str(way.header).lower(),
            "delim": literal(way.separator),
            "quote": literal('"'),
            "escape": literal(way.escape),
            "encoding": literal(way.encoding),
            "allow_quoted_nulls": "false",
            "columns": f"{{{shape}}}",
            "store_rejects": "true",
            "rejects_limit": "0",
        }
        reader = f"read_csv({paths}, {_options(options)})"
    elif isinstance(way, Parquet):
        reader = f"read_parquet({paths}, hive_partitioning=false)"
    else:
        places = {name: f"j.{identifier(name)}" for name in way.columns}
        reader = f"({_transformed(way)})"
    kinds = families(way)

    def value(name: str) -> str:
        if name in places and kinds[name] != "null":
            return f"CAST({places[name]} AS VARCHAR)" if name in as_text else places[name]
        given = partition.get(name) if name not in places else None
        return "NULL" if given is None else literal(given)

    return f"SELECT {', '.join(f'{value(name)} AS c{place}' for place, name in enumerate(columns))} FROM {reader}"


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"{option}={value}" for option, value in options.items())


def _transformed(way: JsonLines) -> str:
    shape = json.dumps(
        dict(zip(way.columns, [kind if kind != "NULL" else "VARCHAR" for kind in way.types], strict=True))
    )
    function = "json_transform_strict" if way.strict else "json_transform"
    return f"SELECT {function}(CAST(line AS JSON), {literal(shape)}) AS j FROM {way.table} WHERE fits ORDER BY n"


def _json_type(kind: object) -> str:
    known = {"UBIGINT": "BIGINT", "BIGINT": "BIGINT", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN", "NULL": "NULL"}
    return known.get(kind, "VARCHAR") if isinstance(kind, str) else "VARCHAR"


def _family(kind: str) -> str:
    kind = kind.lower()
    if kind in ("null", "interval"):
        return kind
    if kind in ("string", "large_string", "string_view", "varchar"):
        return "text"
    if kind.startswith(("int", "uint", "float", "double", "half", "decimal", "bigint")):
        return "number"
    if kind in ("bool", "boolean"):
        return "bool"
    if kind.startswith(("date", "timestamp")):
        return "moment"
    return "other"
