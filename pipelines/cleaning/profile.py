"""What the clean training rows look like, column by column, in a few figures each."""

from __future__ import annotations

from typing import Any

import dask
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cleaning.parts import Parts
from pipelines.inference.columns import one_array
from pipelines.inference.recipe import Column, RowRecipe

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
TOP = 20
MANY = 100_000
"""Of a column with more distinct texts only this is said."""


def profile(parts: Parts, recipe: RowRecipe) -> dict[str, dict[str, Any]]:
    """Describe the unsealed rows of a clean table; one column per worker is in memory.

    Returns
    -------
    dict
        Column → ``{kind, missing}`` (share of null cells) and, of numbers and dates, ``quantiles`` (share → value; of
        dates ISO text) and ``mean`` (numbers), of categories ``distinct`` and ``top`` (``[{value, count}]``, the 20
        most frequent), or ``distinct_over`` where there are too many.
    """
    jobs = [dask.delayed(_column)(parts, column) for column in recipe.kept]
    return dict(zip(recipe.names, dask.compute(*jobs), strict=True))


def _column(parts: Parts, column: Column) -> dict[str, Any]:
    return _texts(parts, column) if column.kind == "category" else _values(parts, column)


def _read(parts: Parts, place: int, name: str) -> pa.ChunkedArray:
    part = parts.read(place, [name, "_sealed"])
    return part[name].filter(pc.invert(part["_sealed"]))


def _values(parts: Parts, column: Column) -> dict[str, Any]:
    kind = pa.float64() if column.kind == "number" else pa.int64()
    given = np.empty(parts.rows, dtype=np.float64 if column.kind == "number" else np.int64)
    rows = count = 0
    for place in range(len(parts.sizes)):
        cells = _read(parts, place, column.name)
        values = one_array(cells.drop_null().cast(kind)).to_numpy()
        given[count : count + len(values)] = values
        rows, count = rows + len(cells), count + len(values)
    given = given[:count]
    entry: dict[str, Any] = {"kind": column.kind, "missing": (rows - count) / rows if rows else None}
    if not count:
        return entry
    places = np.maximum(np.ceil(np.array(QUANTILES) * count).astype(np.intp) - 1, 0)
    if column.kind == "number":
        entry["mean"] = float(np.mean(given))
    given.partition(np.unique(places))  # in place: the column is in memory once
    cuts = given[places]
    if column.kind == "date":
        cuts = cuts.view("datetime64[us]").astype("datetime64[s]").astype(str)
    entry["quantiles"] = dict(zip(map(str, QUANTILES), cuts.tolist(), strict=True))
    return entry


def _texts(parts: Parts, column: Column) -> dict[str, Any]:
    rows = missing = 0
    counts = pa.table({"value": pa.array([], pa.large_string()), "count": pa.array([], pa.int64())})
    many = False
    for place in range(len(parts.sizes)):
        cells = one_array(_read(parts, place, column.name)).cast(pa.large_string())
        rows, missing = rows + len(cells), missing + cells.null_count
        if many:
            continue
        pairs = pc.value_counts(cells.drop_null())
        more = pa.table({"value": pairs.field(0), "count": pairs.field(1)})
        summed = pa.concat_tables([counts, more]).group_by("value").aggregate([("count", "sum")])
        counts = pa.table({"value": summed["value"], "count": summed["count_sum"]})
        many = counts.num_rows > MANY
    entry: dict[str, Any] = {"kind": column.kind, "missing": missing / rows if rows else None}
    if many:
        return {**entry, "distinct_over": MANY, "top": []}
    top = counts.take(pc.select_k_unstable(counts, k=TOP, sort_keys=[("count", "descending"), ("value", "ascending")]))
    shown = [{"value": item["value"][:80], "count": item["count"]} for item in top.to_pylist()]
    return {**entry, "distinct": counts.num_rows, "top": shown}
