"""Converts cells of a database driver to Arrow columns, with all digits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.engine import Connection, CursorResult

from pipelines.inference.recipe.cells import decimal_text
from pipelines.inference.recipe.date_columns import NONE, read_texts
from pipelines.ingestion.files.kinds import MOST_DIGITS

_RANGES = ("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange")
_AS_TEXT = (
    "numeric",
    "timestamp",
    "timestamptz",
    "date",
    "time",
    "timetz",
    "interval",
    "json",
    "jsonb",
    *_RANGES,
    *(name.replace("range", "multirange") for name in _RANGES),
)
"""PostgreSQL's types that are handed over as its texts: its driver refuses a whole result for one infinite date, one of
before the year 1, or one 24:00:00, makes 365 days of an interval of a year, and writes ranges in a way of its own."""
_SESSION = "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'"
EXACT = 2**53


@dataclass(frozen=True)
class CellColumn:
    """A column of a result: its name, and of PostgreSQL its type with the declared digits of a number."""

    name: str
    kind: str = ""
    precision: int | None = None
    scale: int | None = None


def prepare(connection: Connection) -> None:
    """Make the driver return texts for types whose Python values would lose digits, before a query runs."""
    if connection.dialect.driver != "psycopg":
        return
    from psycopg.types.string import TextLoader

    driver: Any = connection.connection.driver_connection
    for name in _AS_TEXT:
        driver.adapters.register_loader(name, TextLoader)
    connection.exec_driver_sql(_SESSION)


def columns_of(connection: Connection, result: CursorResult[Any]) -> list[CellColumn]:
    """Return the columns of a result."""
    names = list(map(str, result.keys()))
    if connection.dialect.driver != "psycopg" or result.cursor is None:
        return [CellColumn(name) for name in names]
    types: Any = connection.connection.driver_connection
    described: Any = result.cursor.description
    found = []
    for name, item in zip(names, described, strict=True):
        info = types.adapters.types.get(item.type_code)
        known = info is not None and info.oid == item.type_code  # not an array of it
        found.append(CellColumn(name, info.name if known else "", item.precision, item.scale))
    return found


def column_array(values: Sequence[Any], column: CellColumn) -> pa.Array:
    """Return one column of a batch.

    Integers, floats, truth values, texts, dates and moments keep their types (moments with a time zone in UTC), numbers
    of declared digits are decimals; other numbers, times and intervals are texts as the database writes them; bytes
    are hexadecimal text, JSON and arrays JSON text.
    """
    if column.kind in ("timestamp", "timestamptz", "date"):
        return _moments(values, column.kind)
    if column.kind == "numeric":
        return _decimals(pa.array(values, pa.string()), column)
    first = next((value for value in values if value is not None), None)
    if isinstance(first, datetime):
        zone = "UTC" if first.tzinfo is not None else None
        return pa.array([_utc(value) for value in values], pa.timestamp("us", zone))
    if isinstance(first, Decimal):
        return pa.array([_text(value) for value in values], pa.string())
    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([_text(value) for value in values], pa.string())
    kind = array.type
    if pa.types.is_floating(kind) and any(isinstance(value, int) and abs(value) > EXACT for value in values):
        return pa.array([_text(value) for value in values], pa.string())
    plain = (
        pa.types.is_null,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_date,
    )
    return array if any(test(kind) for test in plain) else pa.array([_text(value) for value in values], pa.string())


def _moments(values: Sequence[Any], kind: str) -> pa.Array:
    """Read PostgreSQL's timestamps from text; those outside the years 1 to 9999 become the least or greatest value."""
    texts = pa.array(values, pa.string())
    moments = read_texts(texts, ())
    given = texts.is_valid().to_numpy(zero_copy_only=False)
    beyond = np.flatnonzero((moments == NONE) & given)
    for index in beyond.tolist():  # infinite, before the year 1 or after 9999
        past = values[index].startswith("-") or values[index].endswith("BC")
        moments[index] = -(2**63) + 1 if past else 2**63 - 1
    if kind == "date" and not len(beyond):
        days = moments // 86_400_000_000
        return pa.array(np.where(given, days, 0).astype(np.int32), mask=~given).view(pa.date32())
    return pa.array(moments, mask=~given).view(pa.timestamp("us", "UTC" if kind == "timestamptz" else None))


def _decimals(texts: pa.Array, column: CellColumn) -> pa.Array:
    """Return numbers with declared digits as decimals, others as text."""
    if column.precision is None or not 0 < column.precision <= MOST_DIGITS:
        return texts
    if column.scale is None or not 0 <= column.scale <= column.precision:
        return texts
    try:
        return texts.cast(pa.decimal128(column.precision, column.scale))
    except pa.ArrowInvalid:  # NaN
        return texts


def _utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, Decimal):
        text = decimal_text(value)
        return text if isinstance(text, str) else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value.total_seconds()) if isinstance(value, timedelta) else str(value)


def later(mark: Any, column: pa.ChunkedArray, kind: CellColumn) -> Any:
    """Return the larger of a watermark and the largest finite value of a column."""
    cells = column
    if pa.types.is_timestamp(column.type):
        counts = pc.cast(column, pa.int64())
        cells = column.filter(pc.less(pc.abs(counts), 2**62))
    if kind.kind == "numeric" and pa.types.is_string(column.type):
        numbers = [Decimal(text) for text in column.drop_null().unique().to_pylist() if text != "NaN"]
        largest: Any = max(numbers, default=None)
    else:
        largest = pc.max(cells).as_py()
    return largest if mark is None or (largest is not None and largest > mark) else mark
