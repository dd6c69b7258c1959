"""The columns of a Parquet file, also of one that Arrow cannot open, and a copy of it with numbers as texts."""

# ruff: noqa: S608 - names and paths are quoted by identifier and literal
from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.ingestion.files.kinds import MOST_DIGITS, TEXT, WIDE, Kind, of_arrow, of_duckdb
from pipelines.ingestion.files.names import distinct, without_indexes
from pipelines.ingestion.files.sources import unreadable
from pipelines.ingestion.files.untyped_texts import with_texts
from pipelines.quoting import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Parquet:
    """Columns of a Parquet file.

    Parameters
    ----------
    rewritten
        Names in the file of columns whose digits only Arrow reads: it is read from a copy that has them as texts.
    positions, width
        Which of the file's columns each is, and how many it has: for DuckDB, names that differ in case are one.
    said
        What a user should know of how the file was read.
    """

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rewritten: tuple[str, ...] = ()
    positions: tuple[int, ...] = ()
    width: int = 0
    said: tuple[str, ...] = field(default=(), compare=False)


def parquet_way(connection: DuckDBPyConnection, file: Path, wanted: Collection[str] = ()) -> Parquet:
    """Read a Parquet file's columns, without an index of pandas that nobody asks for."""
    try:
        with pq.ParquetFile(file) as opened:
            schema, stored = opened.schema_arrow, opened.schema
            leaves = {(leaf := stored.column(index)).path: leaf for index in range(len(stored))}
    except pa.ArrowNotImplementedError:
        return _parquet_of_duckdb(connection, file, wanted)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, str(error).splitlines()[0]) from None
    names = tuple(str(name) for name in schema.names)
    wide = tuple(
        name
        for name, kind in zip(names, schema.types, strict=True)
        if pa.types.is_decimal(kind) and kind.precision > MOST_DIGITS
    )
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
    positions, told = without_indexes(names, own, whole, wanted)
    columns, kept = tuple(own[index] for index in positions), tuple(kinds[index] for index in positions)
    return Parquet(columns, kept, wide, positions, len(names), (*said, *told))


def _parquet_of_duckdb(connection: DuckDBPyConnection, file: Path, wanted: Collection[str]) -> Parquet:
    """Read the columns of a file with 128-bit integers, which Arrow cannot open and DuckDB reads as bytes."""
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
