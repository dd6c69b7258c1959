"""The SQL that reads a column, or an expression, as a moment in UTC."""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …) made by pipelines.ingestion.read
from __future__ import annotations

from collections.abc import Sequence

from pipelines.errors import DataError, SpecError
from pipelines.inference.expressions import Expression
from pipelines.inference.recipe import MISSING, MISSING_VALUES
from pipelines.ingestion import dates, derive
from pipelines.ingestion.read import Source

UNTIMED = (*MISSING, *MISSING_VALUES)


def column_moment(source: Source, name: str, formats: Sequence[str] = (), what: str = "the time column") -> str:
    """Give the SQL of a column's moment (TIMESTAMPTZ); refuses one that cannot be read.

    Raises
    ------
    DataError
        If the column is of another type, or fewer than half of its values are readable.
    """
    column, kind = source.internal(name), source.kind(name)
    if kind != "VARCHAR" and not kind.startswith(("TIMESTAMP", "DATE")):
        raise DataError(
            f"{what} holds no moments",
            where=f"column {name!r}",
            seen=kind,
            expected="text with dates, DATE or TIMESTAMP",
            cure="name another column as time, or store it as a timestamp",
        )
    known = tuple(formats)
    if kind == "VARCHAR" and not known:
        known = dates.learn_formats(source.connection, source.table, column, share=0.5, declared=True)
    sql = dates.moment(column, kind, known) if known or kind != "VARCHAR" else "CAST(NULL AS TIMESTAMPTZ)"
    given = f"{column} IS NOT NULL" + (f" AND lower(trim({column})) NOT IN {UNTIMED}" if kind == "VARCHAR" else "")
    counted = source.connection.execute(
        f"SELECT count(*), count({sql}), min({column}) FILTER ({sql} IS NULL) FROM {source.table} WHERE {given}"
    ).fetchall()[0]
    total, read, example = counted or (0, 0, None)
    if read * 2 < total or not read:
        raise DataError(
            f"{what} cannot be read",
            where=f"column {name!r}",
            seen=f"{total - read} of {total} values unreadable, such as {example!r}",
            expected=f"one of {', '.join(known)}" if known else "dates in a known notation",
            cure="correct 'time_formats' in IngestSpec (strptime), or empty it to learn them from the data",
        )
    return sql


def expression_moment(source: Source, text: str, where: str, formats: Sequence[str] = ()) -> str:
    """Give the SQL of the moment (TIMESTAMPTZ) that an expression gives; a column alone is read by its own notation.

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
            faults=[f"{where}: {name!r} is not there{derive.near(name, source.columns)}" for name in absent],
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
    return f"CAST({derive.call(source, expression)} AS TIMESTAMPTZ)"
