"""A profile of the clean training rows: a few figures per column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cleaning.parts import Parts
from pipelines.cleaning.scan import unsealed_rows
from pipelines.dask_cluster import on_each
from pipelines.inference.recipe.arrays import one_array
from pipelines.inference.recipe.row_recipe import Column, RowRecipe

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
TOP = 20
LEVELS = 1_000
MANY = 100_000
"""For a column with more distinct texts, only that is reported."""
CELLS = 4_000_000
"""Cells in memory at a time, or one column if it has more."""


def profile(parts: Parts, recipe: RowRecipe) -> dict[str, dict[str, Any]]:
    """Describe the unsealed rows of a clean table; a few columns per worker are in memory.

    Returns
    -------
    dict
        Column → ``{kind, missing}`` (share of null cells) and, of numbers and dates, ``quantiles`` (share → value; of
        dates ISO text) and ``mean`` (numbers), of categories ``distinct`` and ``top`` (``[{value, count}]``, the 20
        most frequent), or ``distinct_over`` where there are too many; ``levels`` are all of up to ``LEVELS``.
    """
    size = max(1, min(CELLS // max(parts.rows, 1), -(-len(recipe.kept) // 2)))
    blocks = [recipe.kept[start : start + size] for start in range(0, len(recipe.kept), size)]

    def described(index: int) -> dict[str, dict[str, Any]]:
        return _block(parts, blocks[index])

    entries = on_each(described, range(len(blocks)), here=True)
    return {name: entry for block in entries for name, entry in block.items()}


def _block(parts: Parts, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
    counts = {
        column.name: _Texts() if column.kind == "category" else _Values(column.kind, parts.rows) for column in columns
    }
    for index in range(len(parts.sizes)):
        table = unsealed_rows(parts.read(index, [*counts, "_sealed"]), unsealed=True)
        for name, count in counts.items():
            count.add(one_array(table[name]))
    return {column.name: {"kind": column.kind, **counts[column.name].entry()} for column in columns}


class _Values:
    """The numbers or moments of one column."""

    def __init__(self, kind: str, rows: int) -> None:
        self.is_number = kind == "number"
        self.values = np.empty(rows, dtype=np.float64 if self.is_number else np.int64)
        self.rows = self.count = 0

    def add(self, cells: pa.Array) -> None:
        given = cells.drop_null().cast(pa.float64() if self.is_number else pa.int64()).to_numpy()
        self.values[self.count : self.count + len(given)] = given
        self.rows, self.count = self.rows + len(cells), self.count + len(given)

    def entry(self) -> dict[str, Any]:
        given = self.values[: self.count]
        entry: dict[str, Any] = {"missing": (self.rows - self.count) / self.rows if self.rows else None}
        if not self.count:
            return entry
        if self.is_number:
            entry["mean"] = float(np.mean(given))
        indices = np.maximum(np.ceil(np.array(QUANTILES) * self.count).astype(np.intp) - 1, 0)
        given.sort()  # in place: the column is in memory once; vectorised, it is faster than selecting a few ranks
        cuts = (
            given[indices]
            if self.is_number
            else given[indices].view("datetime64[us]").astype("datetime64[s]").astype(str)
        )
        return {**entry, "quantiles": dict(zip(map(str, QUANTILES), cuts.tolist(), strict=True))}


class _Texts:
    """The texts of one column, each with its count until there are too many."""

    def __init__(self) -> None:
        self.counts = pa.table({"value": pa.array([], pa.large_string()), "count": pa.array([], pa.int64())})
        self.waiting: list[pa.Table] = []
        self.rows = self.missing = 0
        self.many = False

    def add(self, cells: pa.Array) -> None:
        self.rows, self.missing = self.rows + len(cells), self.missing + cells.null_count
        if self.many:
            return
        pairs = pc.value_counts(cells.drop_null())
        self.waiting.append(pa.table({"value": pairs.field(0).cast(pa.large_string()), "count": pairs.field(1)}))
        if sum(table.num_rows for table in self.waiting) > MANY:
            self._sum()

    def _sum(self) -> None:
        """Merge the waiting counts at once; merging after each part would go through all texts each time."""
        summed = pa.concat_tables([self.counts, *self.waiting]).group_by("value").aggregate([("count", "sum")])
        self.counts = pa.table({"value": summed["value"], "count": summed["count_sum"]})
        self.waiting = []
        self.many = self.counts.num_rows > MANY

    def entry(self) -> dict[str, Any]:
        self._sum()
        missing = self.missing / self.rows if self.rows else None
        if self.many:
            return {"missing": missing, "distinct_over": MANY, "top": []}
        ordered = self.counts.sort_by([("count", "descending"), ("value", "ascending")]).slice(0, TOP)
        top = [{"value": item["value"][:80], "count": item["count"]} for item in ordered.to_pylist()]
        entry = {"missing": missing, "distinct": self.counts.num_rows, "top": top}
        return {**entry, "levels": self.counts["value"].sort().to_pylist()} if self.counts.num_rows <= LEVELS else entry
