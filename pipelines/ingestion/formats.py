"""How each file of a table is written, and the SQL that reads it: CSV, Parquet, JSON lines."""

# ruff: noqa: S608 - names and paths are quoted by identifier and literal
from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import DataError
from pipelines.ingestion.blobs import with_texts
from pipelines.ingestion.kinds import (
    EXACT_DIGITS,
    MOST_DIGITS,
    TEXT,
    WIDE,
    Common,
    Kind,
    of_arrow,
    of_duckdb,
    text_of,
)
from pipelines.ingestion.names import distinct, without_indexes
from pipelines.ingestion.sniff import Dialect
from pipelines.ingestion.sources import plain_name, unreadable
from pipelines.ingestion.spec import Files

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

JSON_LINES = (".jsonl", ".ndjson", ".json")
LINE_ENDS = {"\n": r"'\n'", "\r": r"'\r'", "\r\n": r"'\r\n'"}
"""How DuckDB's option ``new_line`` writes them."""
Partition = Mapping[str, str | None]


@dataclass(frozen=True)
class Parquet:
    """Columns of a Parquet file.

    Parameters
    ----------
    rewritten
        Names in the file of columns whose digits only Arrow reads: it is read from a copy that has them as texts.
    places, width
        Which of the file's columns each is, and how many it has: for DuckDB, names that differ in case are one.
    said
        What a user should know of how the file was read.
    """

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rewritten: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    width: int = 0
    said: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class JsonLines:
    """Columns of a file with one JSON object a line; its lines lie in a table of the connection.

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


Way = Dialect | Parquet | JsonLines


def kinds_of(way: Way) -> dict[str, Kind]:
    """Return the kind of each column of a file."""
    if isinstance(way, Dialect):
        return dict.fromkeys(way.columns, TEXT)
    return dict(zip(way.columns, way.kinds, strict=True))


def is_parquet(file: Path) -> bool:
    """Tell a Parquet file by its name."""
    return file.suffix.lower() == ".parquet"


def is_json(file: Path) -> bool:
    """Tell a file of JSON lines by its name."""
    return plain_name(file.name).lower().endswith(JSON_LINES)


def parquet_way(connection: DuckDBPyConnection, file: Path, wanted: Collection[str] = ()) -> Parquet:
    """Read a Parquet file's columns; an index that pandas wrote and nobody wants is none."""
    try:
        with pq.ParquetFile(file) as opened:
            schema, stored = opened.schema_arrow, opened.schema
            leaves = {(leaf := stored.column(place)).path: leaf for place in range(len(stored))}
    except pa.ArrowNotImplementedError:
        return _parquet_of_duckdb(connection, file, wanted)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, str(error).splitlines()[0]) from None
    names = tuple(str(name) for name in schema.names)
    wide = tuple(
        name for name, kind in zip(names, schema.types, strict=True)
        if pa.types.is_decimal(kind) and kind.precision > MOST_DIGITS
    )  # fmt: skip
    kinds = []
    for name, kind in zip(names, schema.types, strict=True):
        leaf = leaves.get(name)  # Arrow takes intervals for bytes
        utc = leaf is not None and "isAdjustedToUTC=true" in str(leaf.logical_type)
        found = of_arrow(kind, interval=leaf is not None and leaf.converted_type == "INTERVAL", utc_clock=utc)
        kinds.append(TEXT if name in wide else found)
    try:
        kinds, said = with_texts(connection, literal(str(file)), names, kinds)
    except duckdb.Error as error:
        raise unreadable(file, str(error).splitlines()[0]) from None
    way = _parquet(file, names, kinds, wanted, wide)
    return replace(way, said=(*way.said, *said)) if said else way


def _parquet(
    file: Path, names: Sequence[str], kinds: Sequence[Kind], wanted: Collection[str], wide: tuple[str, ...] = ()
) -> Parquet:
    own, said = distinct(names, str(file), wanted)
    whole = [kind.family == "whole" for kind in kinds]
    places, told = without_indexes(names, own, whole, wanted)
    columns, kept = tuple(own[place] for place in places), tuple(kinds[place] for place in places)
    return Parquet(columns, kept, wide, places, len(names), (*said, *told))


def _parquet_of_duckdb(connection: DuckDBPyConnection, file: Path, wanted: Collection[str]) -> Parquet:
    """Read the columns of a file with whole numbers of 128 bits, which Arrow cannot open and DuckDB takes for bytes."""
    path = literal(str(file))
    try:
        described = connection.execute(
            f"DESCRIBE SELECT * FROM read_parquet({path}, hive_partitioning=false)"
        ).fetchall()
        wide = {
            name
            for (name,) in connection.execute(
                f"SELECT name FROM parquet_schema({path}) WHERE type = 'FIXED_LEN_BYTE_ARRAY' AND type_length = '16' "
                "AND converted_type IS NULL AND logical_type IS NULL"
            ).fetchall()
        }
    except duckdb.Error as error:
        raise unreadable(file, str(error).splitlines()[0]) from None
    if wide:
        _learn_to_read_128_bits(connection)
    kinds = [WIDE if row[0] in wide else of_duckdb(str(row[1])) for row in described]
    return _parquet(file, [str(row[0]) for row in described], kinds, wanted)


def _learn_to_read_128_bits(connection: DuckDBPyConnection) -> None:
    known = connection.execute("SELECT count(*) FROM duckdb_functions() WHERE function_name = 'whole_128'").fetchall()
    if known[0][0]:
        return

    def whole_128(column: pa.ChunkedArray) -> pa.Array:
        cells = (
            None if cell is None else str(int.from_bytes(cell, "little", signed=True)) for cell in column.to_pylist()
        )
        return pa.array(cells, pa.string())

    anyhow: Any = connection  # its type stubs know of no function on whole columns
    anyhow.create_function("whole_128", whole_128, ["BLOB"], "VARCHAR", type="arrow", null_handling="special")


def rewritten(columns: Sequence[str], file: Path, target: Path) -> Path:
    """Copy a Parquet file with some columns as texts."""
    with pq.ParquetFile(file) as opened:
        fields = [field.with_type(pa.string()) if field.name in columns else field for field in opened.schema_arrow]
        schema = pa.schema(fields)
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in opened.iter_batches():
                writer.write_batch(batch.cast(schema))
    return target


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
    types = {name: _json_type(kind) for name, kind in shape.items()}
    try:
        types |= _with_all_digits(connection, table, types)
    except duckdb.Error as error:
        raise unreadable(file, str(error).splitlines()[0]) from None
    own, said = distinct(list(types), str(file), wanted)
    return JsonLines(table, own, tuple(types.values()), tuple(types), tuple(said))


def _with_all_digits(connection: DuckDBPyConnection, table: str, types: Mapping[str, str]) -> dict[str, str]:
    """Return the types of number columns that hold whole numbers beyond BIGINT, or beyond what a DOUBLE tells apart."""
    numbers = {name: kind for name, kind in types.items() if kind in ("BIGINT", "DOUBLE")}
    if not numbers:
        return {}
    names = tuple(numbers)
    way = JsonLines(table, names, ("VARCHAR",) * len(names), names)
    read, cells = _transformed(way), _json_cells(way)
    parts = []
    for name in numbers:
        cell = cells[name]
        whole = f"regexp_full_match({cell}, '-?[0-9]+')"
        parts += [
            f"max(length(ltrim({cell}, '-'))) FILTER ({whole})", f"count(*) FILTER (NOT {whole})",
            f"bool_and(TRY_CAST({cell} AS BIGINT) IS NOT NULL) FILTER ({whole})",
            f"bool_and(TRY_CAST({cell} AS UBIGINT) IS NOT NULL) FILTER ({whole})",
        ]  # fmt: skip
    seen = connection.execute(f"SELECT {', '.join(parts)} FROM ({read})").fetchall()[0]
    found = {}
    for place, name in enumerate(numbers):
        digits, others, signed, unsigned = seen[4 * place : 4 * place + 4]
        digits = digits or 0
        if others:
            found[name] = "DOUBLE" if digits <= EXACT_DIGITS else "VARCHAR"
        elif not signed:
            found[name] = "UBIGINT" if unsigned else f"DECIMAL({MOST_DIGITS},0)" if digits <= MOST_DIGITS else "VARCHAR"
        else:
            found[name] = "BIGINT"
    return found


def select(
    files: Sequence[Path], way: Way, columns: Sequence[str], partition: Partition, types: Mapping[str, Common]
) -> str:
    """Give the SELECT that reads files written alike as columns ``c0``, ``c1`` and so on."""
    paths = "[" + ", ".join(literal(str(file)) for file in files) + "]"
    if isinstance(way, Dialect):
        places = {name: f"s{place}" for name, place in zip(way.columns, way.places, strict=True)}
        shape = ", ".join(f"'s{place}': 'VARCHAR'" for place in range(way.width))
        options = {
            "auto_detect": "false",
            "header": str(way.header).lower(),
            **({"skip": str(way.skip)} if way.skip else {}),
            **({"new_line": LINE_ENDS[way.line_end]} if way.line_end else {}),
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
        places = {name: f"p{place}" for name, place in zip(way.columns, way.places, strict=True)}
        reader = f"read_parquet({paths}, hive_partitioning=false) AS t({', '.join(f'p{n}' for n in range(way.width))})"
    else:
        places = _json_cells(way)
        reader = f"({_transformed(way)})"
    kinds = kinds_of(way)

    def value(name: str) -> str:
        wanted = types[name].cast if name in types else None
        if name in places and kinds[name].family != "null":
            cell = kinds[name].read.replace("{}", places[name])
            if wanted == "VARCHAR":
                return cell if kinds[name].family == "text" else text_of(cell, kinds[name])
            cast = "TRY_CAST" if kinds[name].family == "float" else "CAST"  # not a number is no whole number
            return cell if wanted is None else f"{cast}({cell} AS {wanted})"
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
    """Give the SELECT of the objects as structs ``j``, and of their lines."""
    kinds = dict(zip(way.keys, [kind if kind != "NULL" else "VARCHAR" for kind in way.types], strict=True))
    shape = json.dumps({key: kind for key, kind in kinds.items() if key not in _hidden(way.keys)})
    return (
        f"SELECT json_transform(CAST(line AS JSON), {literal(shape)}) AS j, line FROM {way.table} WHERE fits ORDER BY n"
    )


def _json_cells(way: JsonLines) -> dict[str, str]:
    """Give the SQL of each column's cells in what :func:`_transformed` selects."""
    hidden = _hidden(way.keys)
    found = {}
    for name, key, kind in zip(way.columns, way.keys, way.types, strict=True):
        pointer = literal("/" + key.replace("~", "~0").replace("/", "~1"))
        text = f"json_extract_string(CAST(line AS JSON), {pointer})"
        odd = text if kind in ("VARCHAR", "NULL") else f"TRY_CAST({text} AS {kind})"
        found[name] = odd if key in hidden else f"j.{identifier(key)}"
    return found


def _hidden(keys: Sequence[str]) -> set[str]:
    """Give the keys that no struct has beside the others: one without a letter, one that differs in case only."""
    first: dict[str, str] = {}
    return {key for key in keys if not key or first.setdefault(key.lower(), key) != key}


def _json_type(kind: object) -> str:
    known = {"UBIGINT": "BIGINT", "BIGINT": "BIGINT", "HUGEINT": "BIGINT", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN"}
    return {**known, "NULL": "NULL"}.get(kind, "VARCHAR") if isinstance(kind, str) else "VARCHAR"
