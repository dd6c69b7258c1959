"""The digest of a table's full content, whatever its files, row groups and batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipelines.artifacts import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa


def table_digest(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> str:
    """Digest the full content of a table: names, types, nulls and all values in row order.

    Each column feeds separate hashes (validity, lengths, values), so that neither files nor row groups nor batch
    boundaries matter. Strings of any width and dictionary-encoded strings are the same type; every NaN is one NaN.
    """
    hashes = [_ColumnHash(_logical(field.type)) for field in schema]
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for column, array in zip(hashes, batch.columns, strict=True):
            column.update(array if array.type == column.type else array.cast(column.type))
    whole = hashlib.blake2b(str(rows).encode(), digest_size=32)
    for field, column in zip(schema, hashes, strict=True):
        whole.update(f"\n{field.name}\0{column.type}\0{column.hexdigest()}".encode())
    return whole.hexdigest()


def _logical(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        return pa.large_binary()
    return kind


class _ColumnHash:
    """Running digest of one column."""

    def __init__(self, kind: pa.DataType) -> None:
        self.type = kind
        self._parts = [hashlib.blake2b(digest_size=32) for _ in range(3)]

    def update(self, array: pa.Array) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        validity, lengths, values = self._parts
        validity.update(_bytes_of(array.is_valid()))
        if pa.types.is_large_string(self.type) or pa.types.is_large_binary(self.type):
            filled = array.fill_null("" if pa.types.is_large_string(self.type) else b"") if array.null_count else array
            lengths.update(pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8"))
            offsets = np.frombuffer(filled.buffers()[1], dtype="<i8")[filled.offset : filled.offset + len(filled) + 1]
            data = filled.buffers()[2]
            if data is not None and len(filled):
                values.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])
        elif pa.types.is_boolean(self.type):
            values.update(_bytes_of(array.fill_null(False)))
        elif pa.types.is_floating(self.type):
            numbers = array.fill_null(0.0).to_numpy(zero_copy_only=False)
            nans = np.isnan(numbers)
            if nans.any():
                numbers = np.where(nans, np.array(np.nan, dtype=numbers.dtype), numbers)
            values.update(np.ascontiguousarray(numbers).data)
        elif pa.types.is_null(self.type):
            return
        elif self.type.num_fields == 0 and pa.types.is_primitive(self.type):
            width = self.type.bit_width // 8
            filled = (
                array.fill_null(pa.scalar(0, pa.int64() if width == 8 else pa.int32()).cast(self.type, safe=False))
                if array.null_count
                else array
            )
            start = filled.offset * width
            values.update(memoryview(filled.buffers()[1])[start : start + len(filled) * width])
        else:
            for text in array.to_pylist():
                item = canonical_json(text).encode()
                lengths.update(len(item).to_bytes(8, "little"))
                values.update(item)

    def hexdigest(self) -> str:
        return "".join(part.hexdigest() for part in self._parts)


def _bytes_of(array: pa.Array) -> Any:
    return array.cast("uint8").to_numpy(zero_copy_only=False)
