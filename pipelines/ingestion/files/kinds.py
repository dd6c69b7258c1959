"""The kind of a column's cells, and the type that holds the cells of several files without loss.

Keys, ids and numbers keep every digit: a column is widened alone, and only to a type that holds each of its cells as it
was written; where there is none, it is read as text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

MOST_DIGITS = 38
"""Most digits of a DECIMAL."""
EXACT_DIGITS = 15
"""Digits that a DOUBLE holds exactly."""
ZONED = " zoned"
_NUMBERS = ("whole", "decimal", "float")


@dataclass(frozen=True)
class Kind:
    """The kind of a column's cells in one file.

    Parameters
    ----------
    family
        ``text``, ``bool``, ``whole``, ``decimal``, ``float``, ``moment``, ``span``, ``clock``, ``nested``, ``bytes`` or
        ``null``.
    digits, scale
        Of numbers: digits before the point, and behind it.
    read
        SQL that reads the column as it is meant, where DuckDB's own reading is not; ``{}`` is the column.
    exact
        Its width, sign, unit or zone: of files read together DuckDB gives all the type of the first.
    """

    family: str
    digits: int = 0
    scale: int = 0
    read: str = "{}"
    exact: str = ""

    @property
    def word(self) -> str:
        """The family in the words of a notice."""
        return "number" if self.family in _NUMBERS else self.family


TEXT, BOOL, NULL = (Kind(family) for family in ("text", "bool", "null"))
WIDE = Kind("text", read="whole_128({})")
"""128-bit integers, which DuckDB reads as bytes."""


def _nested(kind: str) -> Kind:
    return Kind("nested", read="CAST(to_json({}) AS VARCHAR)", exact=kind)


def of_arrow(kind: pa.DataType, *, interval: bool = False, utc_clock: bool = False) -> Kind:
    """Return the kind of a Parquet column by its Arrow type.

    Parameters
    ----------
    interval
        It is an interval of Parquet, which Arrow takes for bytes.
    utc_clock
        It is a time of day in UTC.
    """
    types = pa.types
    if interval:
        return Kind("span")
    if types.is_dictionary(kind):
        kind = kind.value_type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name in ("arrow.uuid", "arrow.json"):
            return Kind("text", read="CAST({} AS VARCHAR)", exact=kind.extension_name)
        kind = kind.storage_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return TEXT
    if types.is_boolean(kind):
        return BOOL
    if types.is_integer(kind):
        digits = len(str(2 ** (kind.bit_width - (not types.is_unsigned_integer(kind)))))
        return Kind("whole", digits=digits, exact=str(kind))
    if types.is_decimal(kind):
        return Kind("decimal", digits=kind.precision - kind.scale, scale=kind.scale)
    if types.is_floating(kind):
        return Kind("float", exact=str(kind))
    if types.is_timestamp(kind):
        return Kind("moment", exact=("ns" if kind.unit == "ns" else "us") + (ZONED if kind.tz else ""))
    if types.is_date(kind):
        return Kind("moment", exact="date")
    if types.is_duration(kind):
        units = {"s": "{} * 1000000", "ms": "{} * 1000", "us": "{}", "ns": "{} // 1000"}[kind.unit]
        return Kind("span", read=f"to_microseconds({units})")
    if types.is_time(kind):
        return Kind("clock", read="CAST({} AS TIME)" if utc_clock or kind.bit_width == 64 else "{}")
    if types.is_null(kind):
        return NULL
    return _nested(str(kind)) if types.is_nested(kind) else Kind("bytes")


def of_duckdb(kind: str) -> Kind:
    """Return the kind of a column by its DuckDB type."""
    name = kind.split("(")[0]
    if kind.endswith("]") or name in ("STRUCT", "MAP", "UNION"):
        return _nested(kind)
    if name == "DECIMAL":
        precision, scale = (int(part) for part in kind[len("DECIMAL(") : -1].split(","))
        return Kind("decimal", digits=precision - scale, scale=scale)
    if name in _DIGITS:
        return Kind("whole", digits=_DIGITS[name], exact=name)
    if name.startswith(("TIMESTAMP", "DATE")):
        return Kind("moment", exact=name + (ZONED if "TZ" in name or "ZONE" in name else ""))
    if name in ("FLOAT", "DOUBLE"):
        return Kind("float", exact=name)
    families = {"NULL": NULL, "VARCHAR": TEXT, "BOOLEAN": BOOL, "INTERVAL": Kind("span"), '"NULL"': NULL}
    if name in ("UUID", "JSON", "BIT"):
        return Kind("text", read="CAST({} AS VARCHAR)", exact=name)
    return Kind("clock", read="CAST({} AS TIME)") if name.startswith("TIME") else families.get(name, Kind("bytes"))


_DIGITS = {
    "TINYINT": 3,
    "UTINYINT": 3,
    "SMALLINT": 5,
    "USMALLINT": 5,
    "INTEGER": 10,
    "UINTEGER": 10,
    "BIGINT": 19,
    "UBIGINT": 20,
    "HUGEINT": 39,
    "UHUGEINT": 39,
}


@dataclass(frozen=True)
class Common:
    """The common type of a column in several files.

    Parameters
    ----------
    cast
        DuckDB type to cast every file's cells to; None: DuckDB finds it itself.
    mixed
        The files' kinds differ, and the column is read as text for that.
    doubtful
        Whole numbers and floats come together: the type depends on how large those are.
    """

    cast: str | None = None
    mixed: bool = False
    doubtful: bool = False


def common(kinds: Iterable[Kind]) -> Common:
    """Return the type that holds the cells of all kinds without loss."""
    found = {kind for kind in kinds if kind.family != "null"}
    families = {kind.family for kind in found}
    if len(families) <= 1:
        if families == {"decimal"} and len(found) > 1:
            return _decimal(found)
        if families == {"moment"} and len(found) > 1:  # nanoseconds do not reach as far as other moments
            return Common("TIMESTAMPTZ" if any(kind.exact.endswith(ZONED) for kind in found) else "TIMESTAMP")
        return Common()
    if families <= {"text", "nested"}:
        return Common("VARCHAR", mixed=True)
    if families == {"whole", "decimal"}:
        return _decimal(found)
    if families == {"whole", "float"}:
        small = max(kind.digits for kind in found) <= EXACT_DIGITS
        return Common("DOUBLE") if small else Common("DOUBLE", doubtful=True)
    if families <= set(_NUMBERS):
        exact = all(kind.digits + kind.scale <= EXACT_DIGITS for kind in found if kind.family != "float")
        return Common("DOUBLE") if exact else Common("VARCHAR", mixed=True)
    return Common("VARCHAR", mixed=True)


def _decimal(kinds: set[Kind]) -> Common:
    scale = max(kind.scale for kind in kinds)
    digits = max(kind.digits for kind in kinds) + scale
    return Common(f"DECIMAL({digits}, {scale})") if digits <= MOST_DIGITS else Common("VARCHAR", mixed=True)


def text_of(column: str, kind: Kind) -> str:
    """Return the SQL of a column's cells as texts; spans are seconds, bytes in hexadecimal digits."""
    if kind.family == "bytes":
        return f"lower(hex({column}))"
    if kind.family == "span":
        return f"CAST(epoch({column}) AS VARCHAR)"
    return f"CAST({column} AS VARCHAR)"


def arrow_type(kind: str, given: pa.DataType) -> pa.DataType:
    """Return the Arrow type in which a column of a DuckDB type is stored: plain strings, spans as durations."""
    if kind == "INTERVAL":
        return pa.duration("us")
    types = pa.types
    if types.is_null(given) or types.is_string_view(given) or types.is_large_string(given):
        return pa.string()
    return given.value_type if types.is_dictionary(given) else given


def exported(column: str, kind: str) -> str:
    """Return the SQL under which a column of a DuckDB type goes out to Arrow; cast to :func:`arrow_type` there."""
    if kind == "INTERVAL":
        return f"CAST(round(epoch({column}) * 1000000) AS BIGINT)"
    if kind in ("UUID", "BIT") or kind.startswith("ENUM"):
        return f"CAST({column} AS VARCHAR)"
    return column
