"""Writes the Parquet parts of a table: where batches are cut, and which columns are encoded and compressed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

from pipelines.storage.file_io import flush, note_sha256

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 131_072
PART_ROWS = 1_000_000
PART_BYTES = 1 << 27
PROBED = 8_192
"""Sampled numbers of a column that decide whether to compress it."""
LEAST_GAIN = 0.9
"""Columns that compress to more than this share are not compressed."""


class PartWriter:
    """Cuts a stream of batches into parts, each encoded by a thread of its own."""

    def __init__(self, folder: Path, schema: pa.Schema, count: int) -> None:
        self.rows = 0
        self._folder, self._schema = folder, schema
        self._pool = ThreadPoolExecutor(count, "part")
        self._free = BoundedSemaphore(count)
        self._done: list[Future[tuple[str, str]]] = []
        self._queue: SimpleQueue[pa.RecordBatch | None] | None = None
        self._part_rows = self._part_bytes = 0
        self._ways: dict[str, Any] = {}

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch to the current part, or begin the next one."""
        full = self._part_rows + batch.num_rows > PART_ROWS or self._part_bytes + batch.nbytes > PART_BYTES
        if self._queue is None or (full and self._part_rows):
            self._next(batch)
        assert self._queue is not None
        self._queue.put(batch)
        self.rows += batch.num_rows
        self._part_rows += batch.num_rows
        self._part_bytes += batch.nbytes

    def _next(self, batch: pa.RecordBatch | None) -> None:
        self._end()
        self._free.acquire()
        for done in self._done:
            if done.done():
                done.result()  # a full disk ends the stream at once
        if not self._ways:
            self._ways = ways_of_writing(self._schema, batch)
        self._queue = SimpleQueue()
        self._part_rows = self._part_bytes = 0
        path = self._folder / f"part-{len(self._done):05d}.parquet"
        self._done.append(self._pool.submit(self._encode, path, self._queue))

    def _end(self) -> None:
        if self._queue is not None:
            self._queue.put(None)
            self._queue = None

    def close(self) -> dict[str, str]:
        """Wait for all parts; return the sha256 of each. A stream without rows leaves one empty part."""
        if not self._done:
            self._next(None)
        self._end()
        self._pool.shutdown()
        return dict(done.result() for done in self._done)

    def _encode(self, path: Path, queue: SimpleQueue[pa.RecordBatch | None]) -> tuple[str, str]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        batches = iter(queue.get, None)
        try:
            with pq.ParquetWriter(path, self._schema, **self._ways) as writer:
                for group in _groups(batches):
                    writer.write_table(pa.Table.from_batches(group, self._schema), row_group_size=ROW_GROUP)
            if path.name != "part-00000.parquet":
                flush(path)  # while others are still encoded
            return path.name, note_sha256(path)
        finally:
            for _ in batches:
                pass  # of a part that failed, so that they do not stay in memory
            self._free.release()


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Join small batches until they fill a row group."""
    group: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if group and rows + batch.num_rows > ROW_GROUP:
            yield group
            group, rows = [], 0
        group.append(batch)
        rows += batch.num_rows
    if group:
        yield group


def ways_of_writing(
    schema: pa.Schema, first: pa.RecordBatch | pa.Table | None, coded: list[str] | None = None
) -> dict[str, Any]:
    """Return the arguments of a ``ParquetWriter`` for a table of which these are the first rows.

    Numbers that hardly shrink are not compressed: it would cost every reader more than it saves. Numbers with a
    fraction get no statistics, for nobody looks for them in a range.

    Parameters
    ----------
    coded
        Columns with a dictionary; None: the texts that repeat.
    """
    import pyarrow as pa

    if coded is None:
        coded = [] if first is None else _repetitive(first)
    numbers = [field.name for field in schema if pa.types.is_floating(field.type)]
    compression: str | dict[str, str] = "zstd"
    if first is not None and not any(pa.types.is_nested(field.type) for field in schema):
        found = zip(schema, first.columns, strict=True)
        stubborn = {field.name for field, cells in found if pa.types.is_floating(field.type) and _hardly_shrinks(cells)}
        if stubborn:
            compression = {name: "NONE" if name in stubborn else "zstd" for name in schema.names}
    kept = [name for name in schema.names if name not in numbers]
    return {
        "compression": compression,
        "use_dictionary": coded,
        "write_statistics": kept or False,
        "write_page_checksum": True,
    }


def _hardly_shrinks(numbers: pa.Array | pa.ChunkedArray) -> bool:
    import pyarrow as pa

    some = numbers.slice(0, PROBED).drop_null().to_numpy()
    packed = pa.compress(some.tobytes(), codec="zstd", asbytes=True)
    return len(some) > 0 and len(packed) > LEAST_GAIN * some.nbytes


def _repetitive(batch: pa.RecordBatch | pa.Table) -> list[str]:
    """Name the columns of texts that repeat: a Parquet dictionary only costs for numbers and for keys."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        kind = field.type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if pa.types.is_dictionary(kind) or (text and pc.count_distinct(column).as_py() * 2 < len(column)):
            names.append(field.name)
    return names
