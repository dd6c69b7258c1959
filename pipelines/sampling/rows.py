"""Reads the rows of a Parquet table in order, with constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa
import pyarrow.dataset as pads

from pipelines.storage import encoded
from pipelines.storage.file_io import threads

BATCH = 1 << 17
"""Rows read at a time."""
T = TypeVar("T")


def batches(table: pads.Dataset, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read a Parquet table in order, a few batches ahead and no file as a whole; texts stay encoded as stored."""
    scanner = encoded(table).scanner(
        columns=None if columns is None else list(dict.fromkeys(columns)),
        batch_size=BATCH,
        batch_readahead=2,
        fragment_readahead=1,
        use_threads=True,
        fragment_scan_options=_options(),
    )
    yield from (batch for batch in scanner.to_batches() if batch.num_rows)


def worked(table: pads.Dataset, columns: Sequence[str], work: Callable[[int, pa.RecordBatch], T]) -> Iterator[T]:
    """Call ``work(index of the first row, batch)`` for all rows; yield the results in row order.

    Each thread reads a row group and works on it at once, so that only what comes of the work is handed on.
    """
    coded = encoded(table)
    names = list(dict.fromkeys(columns))

    def one(start: int, group: pads.Fragment) -> list[T]:
        scanner = group.scanner(
            schema=coded.schema,
            columns=names,
            batch_size=BATCH,
            batch_readahead=1,
            use_threads=False,
            fragment_scan_options=_options() if isinstance(group, pads.ParquetFileFragment) else None,
        )
        found = []
        for batch in scanner.to_batches():
            if batch.num_rows:
                found.append(work(start, batch))
                start += batch.num_rows
        return found

    waiting: deque[Future[list[T]]] = deque()
    with ThreadPoolExecutor(threads(), "rows") as pool:
        try:
            for start, group in _groups(coded):
                waiting.append(pool.submit(one, start, group))
                if len(waiting) > threads():
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def _groups(table: pads.Dataset) -> Iterator[tuple[int, pads.Fragment]]:
    """Yield the row groups, each with the index of its first row."""
    start = 0
    for fragment in table.get_fragments():
        parts = fragment.split_by_row_group() if isinstance(fragment, pads.ParquetFileFragment) else [fragment]
        for part in parts:
            yield start, part
            groups = part.row_groups if isinstance(part, pads.ParquetFileFragment) else ()
            start += sum(group.num_rows for group in groups) if groups else part.count_rows()


def _options() -> pads.ParquetFragmentScanOptions:
    return pads.ParquetFragmentScanOptions(pre_buffer=False, page_checksum_verification=True)
