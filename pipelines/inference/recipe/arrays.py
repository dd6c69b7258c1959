"""Columns between pandas and Arrow with nothing lost: digits, infinite dates, cells of mixed types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.recipe.date_columns import FIRST, LAST

_PURE = ("string", "integer", "floating", "boolean", "decimal", "date", "datetime", "timedelta", "time", "empty")


def without_infinite(array: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Return dates or moments without those beyond the calendar, and the words for these; None: there are none."""
    if pa.types.is_date(array.type):
        counts = array.cast(pa.date32()).cast(pa.int32()).fill_null(0).to_numpy(zero_copy_only=False)
        low, high = (limit // 86_400_000_000 for limit in (FIRST, LAST))
    else:
        factor = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}[array.type.unit]
        counts = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        low, high = (limit // factor for limit in (FIRST, LAST)) if array.type.unit != "ns" else (-(2**63), 2**63)
    beyond = (counts < low) | (counts > high)
    if not beyond.any():
        return array, None
    words = pa.array(np.where(counts > 0, "infinity", "-infinity"), pa.string(), mask=~beyond)
    return pc.if_else(pa.array(beyond), pa.scalar(None, array.type), array), words


def as_arrow(values: Any) -> pa.Array | None:
    """Return a column as one Arrow array, or None when its cells are of mixed types."""
    if isinstance(values, pd.Series) and values.dtype == object and pd.api.types.infer_dtype(values) not in _PURE:
        return None  # Arrow would read 0.0 and False as one type
    if isinstance(values, pd.Series) and isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert(None)
    try:
        array = values if isinstance(values, pa.ChunkedArray) else pa.Array.from_pandas(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
    return one_array(array)


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame with every digit: whole numbers with gaps stay whole numbers.

    Columns with infinite dates, which pandas does not know, are texts.
    """
    for index, column in enumerate(table.columns):
        if pa.types.is_date(column.type):
            finite, infinite = without_infinite(one_array(column))
            if infinite is not None:
                texts = pc.coalesce(infinite, finite.cast(pa.date32()).cast(pa.string()))
                table = table.set_column(index, table.column_names[index], texts)
    whole = {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
    }
    gaps = {kind for kind, column in zip(table.schema.types, table.columns, strict=True) if column.null_count}
    frame: pd.DataFrame = table.to_pandas(types_mapper=lambda kind: whole.get(kind) if kind in gaps else None)
    return frame


def one_array(array: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a chunked array as one array."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
