"""The SQL that reads a column or an expression as a UTC timestamp, by the rules of the row recipe."""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …) made by pipelines.ingestion.files.read
from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import DataError, SpecError
from pipelines.inference.expressions.columns import Expression
from pipelines.inference.recipe import dates
from pipelines.inference.recipe.cells import date_reader, lowered
from pipelines.inference.recipe.columns import read_column
from pipelines.inference.recipe.date_columns import Written, learn
from pipelines.inference.recipe.row_recipe import MISSING, MISSING_VALUES
from pipelines.ingestion import derived_columns
from pipelines.ingestion.files.read import Source
from pipelines.ingestion.local_times import in_zone, texts_in_zone
from pipelines.quoting import is_number_type

UNTIMED = (*MISSING, *MISSING_VALUES, *dates.INFINITE)
TOKENS = frozenset(map(lowered, UNTIMED))
ENOUGH = 20_000
"""Most distinct days from which a date format is learned; if there are more, those with the smallest hashes."""


def column_moment(source: Source, name: str, formats: Sequence[str] = (), what: str = "the time column") -> str:
    """Return the SQL of a column as TIMESTAMPTZ; raise if it cannot be read.

    Raises
    ------
    DataError
        If the column is of another type, or fewer than half of its values are readable.
    """
    column, kind = source.internal(name), source.kind(name)
    if kind.startswith(("TIMESTAMP", "DATE")):
        finite = f"CASE WHEN isfinite({column}) THEN {column} END"
        return in_zone(finite, "UTC" if _says_its_zone(kind) else source.zone)
    if kind != "VARCHAR" and not is_number_type(kind):
        raise DataError(
            f"{what} holds no moments",
            where=f"column {name!r}",
            seen=kind,
            expected="text with dates, DATE or TIMESTAMP",
            cure="name another column as time, or store it as a timestamp",
        )
    text = as_text(column, kind)
    known = tuple(formats) or learn_written(source, text).formats
    given = f"{text} IS NOT NULL AND lower(trim({text})) NOT IN {UNTIMED}"
    sql = "CAST(NULL AS TIMESTAMPTZ)"
    if known:
        read = date_reader(known, TOKENS)

        def evaluate(cells: pa.ChunkedArray) -> pa.Array:
            moments, _ = read_column(cells, "date", read, TOKENS, formats=known)
            return pa.array(pd.Series(moments), pa.timestamp("us"), from_pandas=True)

        function = derived_columns.register(source, "moment", evaluate, ["VARCHAR"], "TIMESTAMP")
        sql = texts_in_zone(f"{function}({text})", text, source.zone, known)
    counted = source.connection.execute(
        "SELECT count(*), count(m), min(t) FILTER (m IS NULL) FROM "
        f"(SELECT {text} AS t, {sql} AS m FROM {source.table} WHERE {given})"
    ).fetchall()[0]
    total, found, example = counted or (0, 0, None)
    if found * 2 < total or not found:
        raise DataError(
            f"{what} cannot be read",
            where=f"column {name!r}",
            seen=f"{total - found} of {total} values unreadable, such as {example!r}",
            expected=f"one of {', '.join(known)}" if known else "dates in a known notation",
            cure="correct 'time_formats' in IngestSpec (strptime), or empty it to learn them from the data",
        )
    return sql


def _says_its_zone(kind: str) -> bool:
    return kind.endswith("TZ") or "TIME ZONE" in kind


def as_text(column: str, kind: str) -> str:
    """Return the SQL of a column's cells as texts, whole numbers without a fraction."""
    if kind in ("FLOAT", "DOUBLE"):
        whole = f"{column} = trunc({column}) AND abs({column}) < 1e18"
        return f"CASE WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE CAST({column} AS VARCHAR) END"
    return column if kind == "VARCHAR" else f"CAST({column} AS VARCHAR)"


def learn_written(source: Source, text: str, *, share: float = 0.5, declared: bool = True) -> Written:
    """Learn the date format of a column from all rows, given the SQL of its texts."""
    days = f"regexp_replace(trim({text}), '{dates.CLOCK_TAIL}', '')"
    table: pa.Table = source.connection.sql(
        f"SELECT d, n FROM (SELECT {days} AS d, count(*) AS n FROM {source.table} WHERE {text} IS NOT NULL "
        f"AND lower(trim({text})) NOT IN {UNTIMED} GROUP BY 1) ORDER BY hash(d) LIMIT {ENOUGH}"
    ).to_arrow_table()
    digits = pc.any(pc.match_substring_regex(table["d"], "[0-9]")).as_py()
    if not digits:
        return Written()
    return learn(dict(zip(table["d"].to_pylist(), table["n"].to_pylist(), strict=True)), share, declared=declared)


def expression_moment(source: Source, text: str, where: str, formats: Sequence[str] = ()) -> str:
    """Return the SQL of an expression as TIMESTAMPTZ; a column alone is read by its own format.

    Raises
    ------
    SpecError
        If the expression gives no moment.
    DataError
        If it names a column that is not there, or its column cannot be read.
    """
    expression = Expression.parse(text)
    absent = [name for name in expression.columns if name not in source.columns]
    if absent:
        raise DataError(
            "columns of an expression are missing",
            where=where,
            seen=", ".join(map(repr, source.columns[:12])),
            expected=", ".join(map(repr, absent)),
            cure="correct the expression in IngestSpec, or deliver a source that has the columns",
            faults=[f"{where}: {name!r} is not there{derived_columns.near(name, source.columns)}" for name in absent],
        )
    if len(expression.columns) == 1 and text.strip().strip("`") == expression.columns[0]:
        return column_moment(source, expression.columns[0], formats, f"the time of {where}")
    if expression.kind != "moment":
        raise SpecError(
            "an expression gives no moment",
            where=where,
            seen=f"{text}: {expression.kind}",
            expected="a column with dates, or moment(year, month, day, hour)",
            cure="correct 'time' or 'at' of the join",
        )
    zoned = bool(expression.columns) and all(_says_its_zone(source.kind(name)) for name in expression.columns)
    return in_zone(derived_columns.call(source, expression), "UTC" if zoned else source.zone)
