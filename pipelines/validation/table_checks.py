"""Computes facts of a whole table out of core with DuckDB; only the columns needed are read."""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …), paths are quoted
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.quoting import literal
from pipelines.storage import dataset

MEMORY = "400MB"
"""Memory limit of DuckDB, beyond which it spills."""
EXAMPLES = 20


class Whole:
    """A cleaned table in DuckDB; NaN counts as null, as in pandas.

    Parameters
    ----------
    folder
        Folder of Parquet.
    spill
        Folder for what does not fit into memory.
    """

    def __init__(self, folder: Path, spill: Path, threads: int) -> None:
        self.schema = dataset(folder).schema
        self._connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "threads": str(threads),
                "memory_limit": MEMORY,
                "temp_directory": str(spill),
                "preserve_insertion_order": "false",
            }
        )
        self._connection.execute("SET enable_progress_bar = false")
        files = ", ".join(literal(str(path)) for path in sorted(folder.glob("*.parquet")))
        # by index: names that differ in case only are one to DuckDB
        columns = ", ".join(f"c{index}" for index in range(len(self.schema)))
        self._source = f"read_parquet([{files}]) AS t({columns})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._connection.close()

    def rows(self) -> int:
        """Count the rows."""
        return int(self._one(f"SELECT count(*) FROM {self._source}")[0])

    def metrics(self, kind: str, kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the metrics that an expectation on a whole column needs, or None if it is not supported here."""
        known = METRICS.get(kind)
        if known is None or kwargs.get("row_condition") or kwargs.get("column") not in self.schema.names:
            return None
        field = self.schema.field(kwargs["column"])
        name, kinds, give = known
        if not kinds(field.type):
            return None
        value = give(self, self._cell(field.name), kwargs)
        return None if value is NotImplemented else {name: value}

    def repeated(self, columns: Sequence[str]) -> tuple[int, int, list[Any]]:
        """Count rows, and rows that equal another in these columns; return examples too.

        Of one column, only rows with a value are looked at; of several, all rows, and nulls are equal.
        """
        cells = [self._cell(name) for name in columns]
        names = [f"v{index}" for index in range(len(cells))]
        chosen = ", ".join(f"{cell} AS {name}" for cell, name in zip(cells, names, strict=True))
        given = f"WHERE {cells[0]} IS NOT NULL" if len(cells) == 1 else ""
        values, listed = f"(SELECT {chosen} FROM {self._source} {given})", ", ".join(names)
        (rows,) = self._one(f"SELECT count(*) FROM {values}")
        # equal values have equal hashes: only rows whose hash repeats are compared by what they hold
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE repeats AS SELECT hash({listed}) AS h FROM {values} "
            "GROUP BY h HAVING count(*) > 1"
        )
        groups = (
            f"SELECT {listed}, count(*) AS n FROM {values} WHERE hash({listed}) IN (SELECT h FROM repeats) "
            "GROUP BY ALL HAVING count(*) > 1"
        )
        (suspects,) = self._one("SELECT count(*) FROM repeats")
        if not suspects:
            return int(rows), 0, []
        (unexpected,) = self._one(f"SELECT coalesce(sum(n), 0) FROM ({groups})")
        found = self._connection.execute(f"SELECT {listed} FROM ({groups}) ORDER BY ALL LIMIT {EXAMPLES}").fetchall()
        examples = [row[0] if len(columns) == 1 else dict(zip(columns, row, strict=True)) for row in found]
        return int(rows), int(unexpected), examples

    def distinct(self, column: str) -> pd.DataFrame:
        """Return the distinct values of a column, for expectations on sets of values."""
        cell = self._cell(column)
        table = self._connection.sql(
            f"SELECT DISTINCT {cell} AS v FROM {self._source} WHERE {cell} IS NOT NULL ORDER BY 1"
        ).to_arrow_table()
        frame: pd.DataFrame = (
            table.rename_columns([column])
            .cast(pa.schema([pa.field(column, self.schema.field(column).type)]))
            .to_pandas()
        )
        return frame

    def _cell(self, column: str) -> str:
        """Return the SQL of a column's cells; NaN is null."""
        index = self.schema.get_field_index(column)
        is_float = pa.types.is_floating(self.schema.field(index).type)
        # isnan would be decided by a file's statistics, which know of no NaN
        return f"CASE WHEN isfinite(c{index}) OR isinf(c{index}) THEN c{index} END" if is_float else f"c{index}"

    def _one(self, query: str) -> tuple[Any, ...]:
        return tuple(self._connection.execute(query).fetchall()[0])

    def value(self, cell: str, function: str) -> Any:
        """Return an aggregate of the values of a column."""
        return self._one(f"SELECT {function} FROM (SELECT {cell} AS v FROM {self._source})")[0]

    def nth(self, cell: str, indices: Sequence[int]) -> list[Any]:
        """Return the values at these indices of the sorted column; the sort spills to disk."""
        wanted = ", ".join(map(str, sorted(set(indices))))
        found = dict(
            self._connection.execute(
                f"SELECT r, v FROM (SELECT v, row_number() OVER (ORDER BY v) - 1 AS r FROM "
                f"(SELECT {cell} AS v FROM {self._source}) WHERE v IS NOT NULL) WHERE r IN ({wanted})"
            ).fetchall()
        )
        return [found.get(index) for index in indices]


def _number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _ordered(kind: pa.DataType) -> bool:
    return _number(kind) or bool(pa.types.is_timestamp(kind) and kind.tz is None)


def _any(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind)


def _aggregate(function: str) -> Callable[[Whole, str, Mapping[str, Any]], Any]:
    return lambda whole, cell, kwargs: whole.value(cell, function)


def _median(whole: Whole, cell: str, kwargs: Mapping[str, Any]) -> Any:
    given = whole.value(cell, "count(v)")
    if not given:
        return None
    low, high = whole.nth(cell, [(given - 1) // 2, given // 2])
    return (low + high) / 2


def _quantiles(whole: Whole, cell: str, kwargs: Mapping[str, Any]) -> Any:
    if kwargs.get("allow_relative_error") not in (None, False, "nearest"):
        return NotImplemented
    shares = kwargs["quantile_ranges"]["quantiles"]
    given = whole.value(cell, "count(v)")
    if not given:
        return [None] * len(shares)
    return whole.nth(cell, [int(np.rint((given - 1) * share)) for share in shares])


def _unique_share(whole: Whole, cell: str, kwargs: Mapping[str, Any]) -> Any:
    given = whole.value(cell, "count(v)")
    return whole.value(cell, "count(DISTINCT v)") / given if given else 0


METRICS: dict[str, tuple[str, Callable[[pa.DataType], bool], Callable[[Whole, str, Mapping[str, Any]], Any]]] = {
    "expect_column_min_to_be_between": ("column.min", _ordered, _aggregate("min(v)")),
    "expect_column_max_to_be_between": ("column.max", _ordered, _aggregate("max(v)")),
    "expect_column_mean_to_be_between": ("column.mean", _number, _aggregate("favg(v)")),
    "expect_column_sum_to_be_between": ("column.sum", _number, _aggregate("coalesce(fsum(v), 0)")),
    "expect_column_stdev_to_be_between": ("column.standard_deviation", _number, _aggregate("stddev_samp(v)")),
    "expect_column_median_to_be_between": ("column.median", _number, _median),
    "expect_column_quantile_values_to_be_between": ("column.quantile_values", _number, _quantiles),
    "expect_column_unique_value_count_to_be_between": (
        "column.distinct_values.count",
        _any,
        _aggregate("count(DISTINCT v)"),
    ),
    "expect_column_proportion_of_unique_values_to_be_between": ("column.unique_proportion", _any, _unique_share),
    "expect_column_proportion_of_non_null_values_to_be_between": (
        "column.non_null_proportion",
        _any,
        _aggregate("CASE WHEN count(*) = 0 THEN 0 ELSE count(v) / count(*) END"),
    ),
}
"""By type of expectation: the metric it judges, the columns it is known for here, and how it is read."""
