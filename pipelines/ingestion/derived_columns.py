"""Columns computed from others of the same row, by the evaluator that serving uses."""

# ruff: noqa: S608 - column names are internal ones, table names are made here
from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import DataError, SpecError
from pipelines.holdout import SEPARATOR
from pipelines.inference.enrichment.lookup_keys import key_texts
from pipelines.inference.expressions.columns import Expression
from pipelines.ingestion.files.read import Source, types_of
from pipelines.ingestion.spec import Derived, IngestSpec
from pipelines.quoting import literal
from pipelines.reserved_columns import RESERVED

KINDS = {"number": "DOUBLE", "text": "VARCHAR", "bool": "BOOLEAN", "moment": "TIMESTAMP"}
"""DuckDB's type of each kind of value."""

_PLAIN = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "BOOLEAN")
"""Types whose text in SQL is the canonical one."""
_CANONICAL = r"[1-9][0-9]{0,17}|[A-Za-z_][\x21-\x7e]*"
"""Texts that are their own canonical text."""


def parse(spec: IngestSpec) -> dict[str, Expression]:
    """Read the expressions of all derived columns.

    Raises
    ------
    SpecError
        Listing the faults of all of them.
    """
    parsed: dict[str, Expression] = {}
    faults: list[str] = []
    for column in spec.derived:
        try:
            parsed[column.name] = Expression.parse(column.expression)
        except SpecError as error:
            faults.append(f"{column.name}: {error.what}: {error.seen or column.expression}; {error.where}")
    if faults:
        raise SpecError(
            "derived columns cannot be computed" if len(faults) > 1 else "a derived column cannot be computed",
            where="IngestSpec.derived",
            seen="; ".join(column.expression for column in spec.derived if column.name not in parsed)[:300],
            expected="expressions of the language in docs/guides/your-data.md",
            cure="correct the expressions",
            faults=faults,
        )
    return parsed


def before_joins(spec: IngestSpec, parsed: dict[str, Expression], columns: Iterable[str]) -> list[Derived]:
    """Return the derived columns that need no joined one, in order."""
    known = set(columns)
    chosen = []
    for column in spec.derived:
        if known.issuperset(parsed[column.name].columns):
            chosen.append(column)
            known.add(column.name)
    return chosen


def add(source: Source, derived: Sequence[Derived], parsed: dict[str, Expression]) -> Source:
    """Return the source with further columns as a view, computed while it is read.

    Raises
    ------
    DataError
        If an expression names a column that is not there; lists all.
    SpecError
        If a column of that name is there already.
    """
    known = list(source.columns)
    absent: dict[str, list[str]] = {}
    for column in derived:
        missing = [name for name in parsed[column.name].columns if name not in known]
        if missing:
            absent[column.name] = missing
        known.append(column.name)
    if absent:
        raise _absent(source, absent)
    refuse_taken(source, [column.name for column in derived])
    for number, column in enumerate(derived):
        expression = parsed[column.name]
        value = call(source, expression)
        table = f"{source.table}_d{number}"
        source.connection.execute(
            f"CREATE VIEW {table} AS SELECT *, {value} AS c{len(source.columns)} FROM {source.table}"
        )
        source.columns.append(column.name)
        source.table = table
        source.kinds = types_of(source.connection, table)
    return source


def call(source: Source, expression: Expression) -> str:
    """Return the SQL that evaluates an expression over the columns of a source."""
    names = expression.columns
    kind = KINDS[expression.kind]
    if not names:
        value = expression.evaluate({}, 1)[0].as_py()
        return f"CAST({'NULL' if value is None else _constant(value)} AS {kind})"
    arrow = {"VARCHAR": pa.string(), "TIMESTAMP": pa.timestamp("us")}.get(kind)

    def evaluate(*columns: pa.ChunkedArray) -> pa.Array:
        found = expression.evaluate(dict(zip(names, columns, strict=True)), len(columns[0]))
        return found if arrow is None else pc.cast(found, arrow)

    name = register(source, "derive", evaluate, [source.kind(name) for name in names], kind)
    return f"{name}({', '.join(source.internal(name) for name in names)})"


def key(source: Source, columns: Sequence[str]) -> str:
    """Return the SQL of the canonical text of a key: "1", 1 and 1.0 are one; null where a part of it is missing.

    What is canonical as it stands never leaves DuckDB; the rest goes through the function that serving uses.
    """
    return f" || chr({ord(SEPARATOR)}) || ".join(_key_text(source, name) for name in columns)


def _key_text(source: Source, name: str) -> str:
    column, kind = source.internal(name), source.kind(name)
    if kind in _PLAIN:
        return f"CAST({column} AS VARCHAR)"

    def evaluate(cells: pa.ChunkedArray) -> pa.Array:
        return pc.cast(key_texts([cells]), pa.string())

    other = f"{register(source, 'key', evaluate, [kind], 'VARCHAR')}({column})"
    if kind == "VARCHAR":
        return f"CASE WHEN regexp_full_match({column}, '{_CANONICAL}') THEN {column} ELSE {other} END"
    if kind in ("FLOAT", "DOUBLE"):
        whole = f"{column} = trunc({column}) AND abs({column}) < 1e15"
        return f"CASE WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE {other} END"
    return other


def refuse_taken(source: Source, names: Iterable[str]) -> None:
    """Refuse new columns whose names are taken, whatever their case."""
    taken = {name.lower(): name for name in source.columns}
    faults = []
    for name in names:
        if name.lower() in taken:
            faults.append(f"{name!r}: {taken[name.lower()]!r} is a column already")
        elif name.lower() in RESERVED:
            faults.append(f"{name!r}: reserved")
        taken[name.lower()] = name
    if faults:
        raise SpecError(
            "derived columns have names that are taken",
            where="IngestSpec.derived",
            seen=", ".join(fault.split(":")[0] for fault in faults),
            expected="names that no table has",
            cure="rename them in IngestSpec.derived",
            faults=faults,
        )


def near(name: str, columns: Iterable[str]) -> str:
    """Return a hint with the nearest existing name, or an empty text."""
    lowered = {column.strip().lower(): column for column in columns}
    found = difflib.get_close_matches(name.strip().lower(), lowered, n=1, cutoff=0.5)
    return f"; nearest is {lowered[found[0]]!r}" if found else ""


def _absent(source: Source, absent: dict[str, list[str]]) -> DataError:
    pairs = [(column, name) for column, names in absent.items() for name in names]
    return DataError(
        "columns of an expression are missing",
        where=", ".join(str(file) for file in source.files[:3]),
        seen=f"{len(source.columns)} columns: " + ", ".join(map(repr, source.columns[:12])),
        expected=", ".join(sorted({repr(name) for _, name in pairs})),
        cure="correct 'derived' in IngestSpec, or deliver a source that has the columns",
        faults=[f"derived {column!r}: {name!r} is not there{near(name, source.columns)}" for column, name in pairs],
    )


def register(source: Source, stem: str, function: Callable[..., Any], kinds: Sequence[str], gives: str) -> str:
    """Register a function on the connection under a unique name; return the name."""
    connection: Any = source.connection
    counted = connection.execute(
        "SELECT count(*) FROM duckdb_functions() WHERE function_name LIKE 'aimass_%'"
    ).fetchall()[0]
    name = f"aimass_{stem}_{counted[0]}"
    # DuckDB asks the function how many columns it takes
    parameters = [inspect.Parameter(f"c{index}", inspect.Parameter.POSITIONAL_ONLY) for index in range(len(kinds))]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # an attribute that inspect reads
    connection.create_function(name, function, list(kinds), gives, type="arrow", null_handling="special")
    return name


def _constant(value: Any) -> str:
    return str(value) if isinstance(value, bool | int | float) else literal(str(value))
