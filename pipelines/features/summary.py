"""Summaries of the training rows for the plan: computed per partition, merged exactly in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.operations.base import encoded
from pipelines.inference.recipe.arrays import one_array
from pipelines.inference.recipe.row_recipe import Column

HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class ColumnSummary:
    """Summary of one column: missing cells, and by kind the extremes, the counts of texts, or facts on dates.

    ``low`` and ``high`` are the smallest and largest number, or microsecond since 1970 of a date; None without values.
    ``counts`` of a category has the columns text and count, one row per text.
    """

    rows: int
    missing: int
    low: float | int | None = None
    high: float | int | None = None
    counts: pa.Table | None = None
    has_hours: bool = False

    @property
    def given(self) -> int:
        """Number of cells with a value."""
        return self.rows - self.missing

    @property
    def constant(self) -> bool:
        """Whether all rows have one value."""
        return not self.missing and (self.low == self.high if self.counts is None else self.counts.num_rows == 1)


def summarise(frame: pa.Table, columns: tuple[Column, ...]) -> dict[str, ColumnSummary]:
    """Summarise one partition of clean rows."""
    return {column.name: _summarise(frame[column.name], column.kind) for column in columns}


def _summarise(values: pa.ChunkedArray, kind: str) -> ColumnSummary:
    array = one_array(values)
    rows, missing = len(array), array.null_count
    if kind == "number":
        numbers = array.to_numpy(zero_copy_only=False)
        numbers = numbers[~np.isnan(numbers)]
        extremes = (float(numbers.min()), float(numbers.max())) if len(numbers) else (None, None)
        return ColumnSummary(rows, rows - len(numbers), *extremes)
    if kind == "category":
        codes = encoded(array)
        pairs = pc.value_counts(codes.indices.drop_null())
        texts = codes.dictionary.take(pairs.field("values"))
        return ColumnSummary(rows, missing, counts=pa.table({"text": texts, "count": pairs.field("counts")}))
    stamps = array.drop_null().cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    if not len(stamps):
        return ColumnSummary(rows, missing)
    return ColumnSummary(
        rows, missing, int(stamps.min()), int(stamps.max()), has_hours=bool((stamps % (24 * HOUR_US)).any())
    )


def merge(left: Mapping[str, ColumnSummary], right: Mapping[str, ColumnSummary]) -> dict[str, ColumnSummary]:
    """Merge the summaries of two partitions."""
    return {name: _merge(left[name], right[name]) for name in left}


def _merge(a: ColumnSummary, b: ColumnSummary) -> ColumnSummary:
    lows = [value for value in (a.low, b.low) if value is not None]
    highs = [value for value in (a.high, b.high) if value is not None]
    counts = None
    if a.counts is not None and b.counts is not None:
        both = pa.concat_tables([a.counts, b.counts]).group_by("text", use_threads=False)
        counts = both.aggregate([("count", "sum")]).rename_columns(["text", "count"])
    return ColumnSummary(
        a.rows + b.rows,
        a.missing + b.missing,
        min(lows, default=None),
        max(highs, default=None),
        counts,
        a.has_hours or b.has_hours,
    )
