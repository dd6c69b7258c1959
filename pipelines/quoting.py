"""Quotes names, texts and function options for DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Mapping


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def options_of(options: Mapping[str, str]) -> str:
    """Return the SQL of a function's options; each value must be quoted already."""
    return ", ".join(f"{option}={value}" for option, value in options.items())


NUMBER_TYPES = frozenset({
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
    "FLOAT", "DOUBLE", "DECIMAL",
})  # fmt: skip


def is_number_type(kind: str) -> bool:
    """Tell whether a DuckDB type, such as ``DECIMAL(18,3)``, holds numbers."""
    return kind.split("(")[0] in NUMBER_TYPES
