"""Tables: folders of Parquet parts with page checksums, written by several threads, and one digest of their content.

The parts hold the rows in order, each at most ``PART_ROWS`` rows and about ``PART_BYTES`` of memory. Beside them lies
``_table.json``: the digest of the content, computed while the rows streamed by, bound to the sha256 of each part, so
that it stands only for these very files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

from pipelines.digests import TableDigest, table_digest
from pipelines.disk import disk_errors, flush, note_sha256, threads
from pipelines.errors import DataError
from pipelines.settings import make_private

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads

ROW_GROUP = 131_072
BATCH_CELLS = 1 << 24
"""Cells in memory at once: a wide table is read fewer rows at a time."""
PART_ROWS = 1_000_000
PART_BYTES = 1 << 27
REPETITIVE_BYTES = 5
"""A text column of fewer bytes a row within Parquet consists of the numbers of its dictionary."""
PROBED = 8_192
"""Numbers of a column that tell whether compression is worth its time."""
LEAST_GAIN = 0.9
"""Numbers of which more than this share is left are not compressed."""
FACTS = "_table.json"
FORMAT = 1


def batch_rows(columns: int) -> int:
    """Give how many rows of a table with so many columns are read at a time."""
    return max(1, min(ROW_GROUP, BATCH_CELLS // max(columns, 1)))


def write_table(data: pa.Table | Iterable[pa.RecordBatch], folder: Path, schema: pa.Schema | None = None) -> int:
    """Write one table as a folder of Parquet with page checksums and its digest; give its number of rows.

    Parts are encoded and columns digested by other threads while the batches stream in, at most one part's batches per
    thread held in memory.

    Parameters
    ----------
    data
        A table, or batches that share ``schema`` (required then: a stream may be empty).
    folder
        Created; holds ``part-00000.parquet``, ``part-00001.parquet`` … and ``_table.json``.
    """
    import pyarrow as pa

    make_private(folder)
    if isinstance(data, pa.Table):
        schema, batches = data.schema, iter(data.to_batches(max_chunksize=ROW_GROUP))
    elif schema is None:
        raise TypeError("a stream of batches needs its schema")
    else:
        batches = iter(data)
    with disk_errors(folder), TableDigest(schema, threads()) as digest:
        parts = _Parts(folder, schema, threads())
        try:
            for batch in batches:
                if batch.num_rows:
                    digest.update(batch)
                    parts.write(batch)
        finally:
            files = parts.close()
        facts = {"format": FORMAT, "rows": parts.rows, "digest": digest.hexdigest(), "files": files}
        (folder / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True))
    return parts.rows


class _Parts:
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
        """Wait for all parts; give the sha256 of each. A stream without rows leaves one empty part."""
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
    """Give the arguments of a ``ParquetWriter`` for a table of which these are the first rows.

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
        "compression": compression, "use_dictionary": coded, "write_statistics": kept or False,
        "write_page_checksum": True,
    }  # fmt: skip


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


def recorded_digest(folder: Path, files: dict[str, str]) -> str | None:
    """Give the digest that was computed when a table was written, if its parts are still those; else None.

    Parameters
    ----------
    files
        Name → sha256 of the Parquet files in ``folder``.
    """
    try:
        facts = json.loads((folder / FACTS).read_text())
        if facts["format"] == FORMAT and facts["files"] == files:
            return str(facts["digest"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return None


def table_facts(folder: Path) -> dict[str, Any]:
    """Give ``rows`` and content ``digest`` of a table: as recorded beside it, else by reading it.

    The parts are taken to be those that were written; `pipelines.storage.verify` finds out.
    """
    try:
        facts = json.loads((folder / FACTS).read_text())
        return {"rows": int(facts["rows"]), "digest": str(facts["digest"])}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {"rows": dataset(folder).count_rows(), "digest": content_digest(folder)}


def content_digest(folder: Path) -> str:
    """Digest the full content of a folder of Parquet by reading it."""
    table = dataset(folder)
    batches = table.scanner(batch_size=ROW_GROUP, batch_readahead=2, fragment_readahead=1).to_batches()
    return table_digest(batches, table.schema, threads())


def dataset(folder: Path) -> pads.Dataset:
    """Open a folder of Parquet; its page checksums are verified as it is read."""
    import pyarrow.dataset as pads

    options = pads.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=False)
    return pads.dataset(
        sorted(str(path) for path in folder.glob("*.parquet")),
        format=pads.ParquetFileFormat(default_fragment_scan_options=options),
    )


def encoded(table: pads.Dataset) -> pads.Dataset:
    """Give the same files, with those texts read as dictionaries that Parquet holds so; nothing is decoded twice."""
    import pyarrow.dataset as pads

    first = next(iter(table.get_fragments()), None)
    if not isinstance(first, pads.ParquetFileFragment) or not first.num_row_groups:
        return table
    group, names = first.metadata.row_group(0), set(table.schema.names)
    columns = [group.column(place) for place in range(group.num_columns)]
    coded = [
        column.path_in_schema
        for column in columns
        if column.physical_type == "BYTE_ARRAY"
        and column.path_in_schema in names
        and column.has_dictionary_page
        and column.total_uncompressed_size < REPETITIVE_BYTES * column.num_values
    ]
    options = pads.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=False)
    reading = pads.ParquetFileFormat(dictionary_columns=coded, default_fragment_scan_options=options)
    return pads.dataset(table.files, format=reading)


def read_table(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a whole table written by ``write_table``.

    Raises
    ------
    DataError
        If a file is damaged or is not Parquet.
    """
    import pyarrow as pa

    try:
        return dataset(folder).to_table(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            "a table cannot be read",
            where=str(folder),
            seen=str(error).splitlines()[0],
            expected="undamaged Parquet",
            cure="run the night again, or restore the folder from a backup",
        ) from None
