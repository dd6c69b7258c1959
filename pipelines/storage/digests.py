"""The digest of a table's full content, independent of files, row groups and batches."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from pipelines.artifacts import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

AHEAD = 4
"""Batches that may wait to be digested."""
_VALID = b"\x01" * (1 << 16)


def table_digest(batches: Iterable[pa.RecordBatch], schema: pa.Schema, threads: int = 1) -> str:
    """Digest the full content of a table: names, types, nulls and all values in row order.

    Each column feeds separate hashes (validity, lengths, values), so that neither files nor row groups nor batch
    boundaries matter. Strings of any width and dictionary-encoded strings are the same type; every NaN is one NaN.
    """
    with TableDigest(schema, threads) as digest:
        for batch in batches:
            digest.update(batch)
        return digest.hexdigest()


class TableDigest:
    """`table_digest` of a stream of batches; the columns are divided among threads.

    Use it as a context. A thread takes its columns of one batch after the other, so that each sees its rows in order;
    at most ``AHEAD`` batches wait.
    """

    def __init__(self, schema: pa.Schema, threads: int = 1) -> None:
        self._schema = schema
        self._columns = [_ColumnHash(_logical(field.type)) for field in schema]
        self._rows = 0
        count = max(1, min(threads, len(self._columns)))
        self._pools = [ThreadPoolExecutor(1, "digest") for _ in range(count)] if count > 1 else []
        self._waiting: deque[list[Future[None]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the next rows."""
        self._rows += batch.num_rows
        if not self._pools:
            self._take(batch, 0, 1)
            return
        count = len(self._pools)
        self._waiting.append([pool.submit(self._take, batch, n, count) for n, pool in enumerate(self._pools)])
        while len(self._waiting) > AHEAD:
            self._wait()

    def _wait(self) -> None:
        for done in self._waiting.popleft():
            done.result()

    def _take(self, batch: pa.RecordBatch, first: int, step: int) -> None:
        for index in range(first, len(self._columns), step):
            column, array = self._columns[index], batch.column(index)
            column.update(array if array.type == column.type else array.cast(column.type))

    def hexdigest(self) -> str:
        """Return the digest of all rows taken so far."""
        while self._waiting:
            self._wait()
        whole = hashlib.blake2b(str(self._rows).encode(), digest_size=32)
        for field, column in zip(self._schema, self._columns, strict=True):
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
        if array.null_count:
            validity.update(_bytes_of(array.is_valid()))
        else:
            for start in range(0, len(array), len(_VALID)):
                validity.update(_VALID[: len(array) - start])
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
            numbers = (array.fill_null(0.0) if array.null_count else array).to_numpy(zero_copy_only=False)
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
