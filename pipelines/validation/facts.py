"""The facts a suite is learned from: robust statistics of each column of a cleaned table, by DuckDB."""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …), paths are quoted
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.quoting import identifier, literal
from pipelines.reserved_columns import LABELLED
from pipelines.storage import dataset

MAX_COLUMNS = 300
"""Most columns with rules, because people read the suite."""
MAX_CATEGORIES = 50
"""Columns with more distinct texts get no rule on the set of values."""
DAY = 86_400
MEMORY = "800MB"


@dataclass(frozen=True)
class ColumnFacts:
    """Facts of one column on one night.

    ``kind`` is number, text or moment. Of numbers: ``low`` and ``high`` the extremes, ``ends`` the quantiles 0.5 % and
    99.5 %, ``median``, ``mad`` the median of the distances to it. Of moments: the extremes, and ``hours`` the arc of
    the day, in seconds, that holds nearly all times of day. Of texts: ``texts`` with their counts where these are few,
    and the extremes of their lengths.
    """

    name: str
    kind: str
    rows: int
    given: int
    distinct: int = 0
    low: Any = None
    high: Any = None
    ends: tuple[float, float] | None = None
    median: float | None = None
    mad: float | None = None
    hours: tuple[int, int] | None = None
    texts: dict[str, int] | None = None
    lengths: tuple[int, int] | None = None

    @property
    def missing(self) -> int:
        """Number of nulls."""
        return self.rows - self.given


@dataclass(frozen=True)
class TableFacts:
    """Facts of one night: its rows, and its judged columns in order, the label first."""

    rows: int
    columns: dict[str, ColumnFacts] = field(default_factory=dict)


@contextmanager
def opened(source: Path | pa.Table) -> Iterator[tuple[duckdb.DuckDBPyConnection, pa.Schema]]:
    """Yield a connection with the table as the view ``cleaned``, its columns named c0, c1, … by index."""
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "memory_limit": MEMORY}
    )
    try:
        connection.execute("SET enable_progress_bar = false")
        if isinstance(source, pa.Table):
            schema = source.schema
            connection.register("arrow_table", source)
            relation = "arrow_table"
        else:
            schema = dataset(source).schema
            files = ", ".join(literal(str(path)) for path in sorted(source.glob("*.parquet")))
            relation = f"read_parquet([{files}])"
        cells = ", ".join(f"{identifier(name)} AS c{n}" for n, name in enumerate(schema.names))
        connection.execute(f"CREATE TEMP VIEW cleaned AS SELECT {cells} FROM {relation}")
        yield connection, schema
    finally:
        connection.close()


def gather(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> TableFacts:
    """Gather the facts of a table opened by :func:`opened`."""
    rows = int(_one(connection, "SELECT count(*) FROM cleaned")[0])
    judged = [name for name in schema.names if name not in LABELLED][:MAX_COLUMNS]
    columns = {}
    for name in (["_y"] if "_y" in schema.names else []) + judged:
        index = schema.get_field_index(name)
        columns[name] = _column(connection, f"c{index}", schema.field(index), rows)
    return TableFacts(rows, columns)


def _column(connection: duckdb.DuckDBPyConnection, cell: str, field: pa.Field, rows: int) -> ColumnFacts:
    given, low, high = _one(connection, f"SELECT count({cell}), min({cell}), max({cell}) FROM cleaned")
    name = field.name
    if pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
        return _number(connection, cell, name, rows, given, low, high)
    if pa.types.is_timestamp(field.type):
        arc = _arc(connection, cell) if given else None
        return ColumnFacts(name, "moment", rows, given, low=low, high=high, hours=arc)
    if not given or not pa.types.is_string(field.type):
        return ColumnFacts(name, "text", rows, given)
    kinds, short, long = _one(
        connection, f"SELECT approx_count_distinct({cell}), min(length({cell})), max(length({cell})) FROM cleaned"
    )
    texts = None
    if kinds <= 2 * MAX_CATEGORIES:  # the count is an estimate; what is read decides
        found = connection.execute(
            f"SELECT {cell}, count(*) FROM cleaned WHERE {cell} IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
        texts = dict(found) if len(found) <= MAX_CATEGORIES else None
        kinds = len(found)
    elif kinds > 0.9 * given:
        kinds = int(_one(connection, f"SELECT count(DISTINCT {cell}) FROM cleaned")[0])
    return ColumnFacts(name, "text", rows, given, kinds, low, high, texts=texts, lengths=(short, long))


def _number(
    connection: duckdb.DuckDBPyConnection, cell: str, name: str, rows: int, given: int, low: Any, high: Any
) -> ColumnFacts:
    if not given:
        return ColumnFacts(name, "number", rows, given)
    below, median, above = _one(
        connection, f"SELECT unnest(quantile_cont({cell}::DOUBLE, [0.005, 0.5, 0.995])) FROM cleaned", column=True
    )
    (mad,) = _one(connection, f"SELECT median(abs({cell} - ?)) FROM cleaned", [median])
    return ColumnFacts(
        name, "number", rows, given, low=float(low), high=float(high), ends=(below, above), median=median, mad=mad
    )


def _arc(connection: duckdb.DuckDBPyConnection, cell: str) -> tuple[int, int] | None:
    """Return first and last second of the interval with 99.9 % of the times of day; None if longer than 20 hours."""
    slots = dict(
        connection.execute(
            f"SELECT (epoch({cell}) % {DAY})::INTEGER // 60 AS m, count(*) FROM cleaned "
            f"WHERE {cell} IS NOT NULL GROUP BY 1"
        ).fetchall()
    )
    enough = 0.999 * sum(slots.values())
    minutes = sorted(slots)
    best: tuple[int, int] | None = None
    held, last = 0, 0  # two hands around the day, the second up to one turn ahead
    for first, start in enumerate(minutes):
        while held < enough and last - first < len(minutes):
            held += slots[minutes[last % len(minutes)]]
            last += 1
        if held < enough:
            break
        end = minutes[(last - 1) % len(minutes)]
        if best is None or (end - start) % 1440 < (best[1] - best[0]) % 1440:
            best = start, end
        held -= slots[start]
    if best is None or (best[1] - best[0]) % 1440 > 20 * 60:
        return None
    if (
        best == (0, 0)
        and not connection.execute(f"SELECT count(*) FROM cleaned WHERE epoch({cell}) % {DAY} > 0").fetchall()[0][0]
    ):
        return 0, 0
    return best[0] * 60, best[1] * 60 + 59


def _one(
    connection: duckdb.DuckDBPyConnection, query: str, values: list[Any] | None = None, *, column: bool = False
) -> tuple[Any, ...]:
    found = connection.execute(query, values).fetchall()
    return tuple(row[0] for row in found) if column else tuple(found[0])


def moment_text(moment: datetime) -> str:
    """Return a moment as the rules hold it: ISO 8601 without a zone."""
    return moment.replace(tzinfo=None).isoformat()
