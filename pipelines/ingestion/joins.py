"""Joins further tables to the main one, out of core, in the order of the main table."""

# ruff: noqa: S608 - column names are internal ones, table names are made here
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pipelines.errors import DataError, SpecError
from pipelines.inference.expressions.columns import Expression
from pipelines.ingestion import derived_columns
from pipelines.ingestion.files.read import Source, drop, types_of
from pipelines.ingestion.spec import Join, Sql
from pipelines.ingestion.timestamp_sql import column_moment, expression_moment
from pipelines.reserved_columns import RESERVED


@dataclass
class Joined:
    """One join: its table and its result."""

    spec: Join
    right: Source
    columns: list[tuple[str, str]]
    """Column of the right table and its name in the joined one."""
    keys: str = ""
    """Table with ``k`` (canonical key), ``s`` (row of the right table) and, as-of, ``w`` (its moment)."""
    matched: int = 0
    unmatched: int = 0
    notices: list[str] = field(default_factory=list)


def plan(main: Source, rights: Sequence[tuple[Join, Source]], derived: Sequence[str]) -> list[Joined]:
    """Decide which columns each table adds.

    Raises
    ------
    DataError
        If keys or columns are not there; lists all.
    SpecError
        If two columns would have one name; names both tables and the cure.
    """
    taken = {name.lower(): "the main table" for name in main.columns}
    taken |= {name.lower(): "a derived column" for name in derived if name.lower() not in taken}
    known = list(main.columns)
    absent: list[str] = []
    clashes: list[str] = []
    joined = []
    for join, right in rights:
        for left, other in join.on.items():
            if left not in known:
                absent.append(
                    f"join {join.name}: key {left!r} is not in the main table{derived_columns.near(left, known)}"
                )
            if other not in right.columns:
                absent.append(
                    f"join {join.name}: key {other!r} is not in it{derived_columns.near(other, right.columns)}"
                )
        absent += [
            f"join {join.name}: column {name!r} is not in it{derived_columns.near(name, right.columns)}"
            for name in join.columns
            if name not in right.columns
        ]
        time = set(Expression.parse(join.time).columns) if join.time else set()
        own = [name for name in right.columns if name not in {*join.on.values(), *time}]
        columns = list((join.columns or {name: name for name in own}).items())
        for name, final in columns:
            if final.lower() in taken:
                clashes.append(
                    f"{final!r} is in {taken[final.lower()]} and in {join.name}: "
                    f"columns={{{name!r}: '{join.name}_{name}', …}} in Join {join.name!r} renames it"
                )
            elif final.lower() in RESERVED:
                clashes.append(f"{final!r} of {join.name} is reserved")
            taken.setdefault(final.lower(), join.name)
            known.append(final)
        joined.append(Joined(join, right, columns))
    if absent:
        raise DataError(
            "columns of joins are missing",
            where=", ".join(dict.fromkeys(fault.split(":")[0] for fault in absent)),
            seen="; ".join(f"{join.name}: {', '.join(right.columns[:12])}" for join, right in rights),
            expected="the keys and columns named in IngestSpec.joins",
            cure="correct the names in IngestSpec.joins, or deliver tables that have them",
            faults=absent,
        )
    if clashes:
        raise SpecError(
            "columns of joined tables have one name",
            where="IngestSpec.joins",
            seen=", ".join(fault.split(" ")[0] for fault in clashes),
            expected="names that occur once",
            cure="name the columns to take in Join.columns, {column: new name}",
            faults=clashes,
        )
    return joined


def join_all(
    main: Source, joined: Sequence[Joined], as_of: datetime, time: str | None, formats: Sequence[str]
) -> Source:
    """Return the joined table, rows in the order of the main one.

    Parameters
    ----------
    main
        Its table has the number of each row in ``r`` (`numbered`).
    time, formats
        The model's time column and its notations, for as-of joins without ``at``.

    Raises
    ------
    DataError
        If a key occurs more than once in a table that is not declared ``many``, or times cannot be read.
    SpecError
        If an as-of join has no time.
    """
    connection = main.connection
    left = replace(main, columns=list(main.columns))
    order = ["r"]
    for number, join in enumerate(joined):
        _prepare(join, number, as_of)
        left = _as_of(left, join, number, time, formats) if join.spec.time else _left(left, join, number)
        order.append(f"s{number}")
    columns = ", ".join(f"c{index}" for index in range(len(left.columns)))
    flags = "".join(f", s{number} IS NOT NULL AS m{number}" for number in range(len(joined)))
    connection.execute(f"CREATE TABLE joined AS SELECT {columns}{flags} FROM {left.table} ORDER BY {', '.join(order)}")
    counts = (
        connection.execute(
            "SELECT count(*)"
            + "".join(f", count(*) FILTER (m{number})" for number in range(len(joined)))
            + " FROM joined"
        ).fetchall()[0]
        or ()
    )
    for join, matched in zip(joined, counts[1:], strict=True):
        join.matched, join.unmatched = int(matched), int(counts[0] - matched)
    left.rows, left.table = int(counts[0]), "joined"
    left.notices += [notice for join in joined for notice in join.notices]
    return left


def numbered(source: Source) -> Source:
    """Return a view of a table (no view) with the index of each row in ``r``."""
    source.connection.execute(f"CREATE VIEW {source.table}_r AS SELECT *, rowid AS r FROM {source.table}")
    return replace(source, table=f"{source.table}_r")


def _prepare(join: Joined, number: int, as_of: datetime) -> None:
    """Create the narrow table of keys; raise if a key occurs more than once."""
    spec, right = join.spec, join.right
    connection = right.connection
    join.keys = f"join_keys{number}"
    key = derived_columns.key(right, list(spec.on.values()))
    if spec.time:
        when = expression_moment(right, spec.time, f"join {spec.name}, time")
        connection.execute(
            f"CREATE TABLE {join.keys} AS SELECT k, w, max(s) AS s FROM "
            f"(SELECT {key} AS k, {when} AS w, rowid AS s FROM {right.table}) "
            f"WHERE k IS NOT NULL AND w IS NOT NULL AND w <= TIMESTAMPTZ '{as_of.isoformat()}' GROUP BY k, w"
        )
        given = connection.execute(
            f"SELECT count(*) FROM (SELECT {key} AS k, {when} AS w FROM {right.table}) "
            f"WHERE k IS NOT NULL AND w <= TIMESTAMPTZ '{as_of.isoformat()}'"
        ).fetchall()[0]
        kept = connection.execute(f"SELECT count(*) FROM {join.keys}").fetchall()[0]
        doubled = (given[0] if given else 0) - (kept[0] if kept else 0)
        if doubled:
            join.notices.append(
                f"{spec.name}: {doubled} row(s) of the same key and moment as a later one; the last counts"
            )
        return
    # of a table that is read by growing values, a changed row comes again: the last one counts
    again = isinstance(spec.source, Sql) and spec.source.since is not None and not spec.many
    chosen = "k, max(s) AS s" if again else "k, s"
    connection.execute(
        f"CREATE TABLE {join.keys} AS SELECT {chosen} FROM (SELECT {key} AS k, rowid AS s FROM {right.table}) "
        f"WHERE k IS NOT NULL{' GROUP BY k' if again else ''}"
    )
    if not spec.many:
        _refuse_doubled(join)


def _refuse_doubled(join: Joined) -> None:
    spec, right = join.spec, join.right
    found = right.connection.execute(
        f"SELECT count(*), sum(n), min(k), arg_max(k, n), max(n) FROM "
        f"(SELECT k, count(*) AS n FROM {join.keys} GROUP BY k HAVING count(*) > 1)"
    ).fetchall()[0]
    if not found or not found[0]:
        return
    keys, rows, _, example, most = found
    shown = (
        right.connection.execute(
            f"SELECT {', '.join(right.internal(name) for name in spec.on.values())} FROM {right.table} WHERE rowid IN "
            f"(SELECT s FROM {join.keys} WHERE k = ? LIMIT 1)",
            [example],
        ).fetchall()[0]
        or ()
    )
    named = ", ".join(f"{name} = {value!r}" for name, value in zip(spec.on.values(), shown, strict=False))
    raise DataError(
        "a join would multiply rows",
        where=f"join {spec.name}, key {', '.join(spec.on.values())}",
        seen=f"{keys} key(s) on {rows} rows, such as {named} on {most}",
        expected="at most one row per key",
        cure="name more key columns in 'on', give 'time' to take the latest row, or declare many=True (serve='caller')",
    )


def _left(left: Source, join: Joined, number: int) -> Source:
    key = derived_columns.key(left, list(join.spec.on))
    return _with_columns(
        left, join, number, f"(SELECT *, {key} AS k FROM {left.table}) l LEFT JOIN {join.keys} q ON l.k = q.k"
    )


def _as_of(left: Source, join: Joined, number: int, time: str | None, formats: Sequence[str]) -> Source:
    spec = join.spec
    if spec.at is not None:
        at = expression_moment(left, spec.at, f"join {spec.name}, at")
    elif time is None or time not in left.columns:
        raise SpecError(
            "an as-of join has no moment of the main table's rows",
            where=f"join {spec.name}",
            seen="no 'at', and "
            + ("the model has no time" if time is None else f"{time!r} is computed after the join"),
            expected="an expression over the main table's columns that gives a moment",
            cure="add at='…' to the Join, or name the model's time in ModelSpec",
        )
    else:
        at = column_moment(left, time, formats)
    key = derived_columns.key(left, list(spec.on))
    table = f"join_map{number}"
    age = (
        "" if spec.max_age_hours is None else f"WHERE l.a <= q.w + to_microseconds({round(spec.max_age_hours * 3.6e9)})"
    )
    left.connection.execute(
        f"CREATE TABLE {table} AS SELECT l.r, q.s FROM (SELECT r, {key} AS k, {at} AS a FROM {left.table}) l "
        f"ASOF JOIN {join.keys} q ON l.k = q.k AND l.a >= q.w {age}"
    )
    return _with_columns(left, join, number, f"{left.table} l LEFT JOIN {table} q ON l.r = q.r")


def _with_columns(left: Source, join: Joined, number: int, tables: str) -> Source:
    """Create the view that adds the right table's columns by row index."""
    right, connection = join.right, left.connection
    start = len(left.columns)
    before = ["l.r", *(f"l.s{earlier}" for earlier in range(number)), *(f"l.c{index}" for index in range(start))]
    added = [f"t.{right.internal(name)} AS c{start + index}" for index, (name, _) in enumerate(join.columns)]
    view = f"join_view{number}"
    drop(connection, view)
    connection.execute(
        f"CREATE VIEW {view} AS SELECT {', '.join([*before, *added])}, q.s AS s{number} FROM {tables} "
        f"LEFT JOIN (SELECT *, rowid AS s FROM {right.table}) t ON t.s = q.s"
    )
    left.columns += [final for _, final in join.columns]
    left.table = view
    left.kinds = types_of(connection, view)
    return left
