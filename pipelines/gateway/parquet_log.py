"""Rows to Parquet files by model and day: bounded in memory, written by a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from sys import getsizeof
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.settings import make_private

log = logging.getLogger(__name__)

FLUSH_SECONDS = 3.0
MAX_ROWS_HELD = 50_000
CELL_BYTES = 50
"""What a cell takes besides its text."""
NESTED = frozenset({list, dict})
MAX_BYTES_HELD = 64 << 20
WRITE_BYTES = 8 << 20
"""Cells that become Parquet at a time: their texts take several times as much meanwhile."""


class Entry(Protocol):
    """What is written: some rows of one model."""

    @property
    def model(self) -> str:
        """Whose it is."""

    @property
    def at(self) -> datetime:
        """When it was, which names its day."""

    @property
    def rows(self) -> int:
        """Rows it takes."""

    @property
    def size(self) -> int:
        """Bytes of memory that its cells take, about."""


E = TypeVar("E", bound=Entry)


class ParquetLog(Generic[E]):
    """Writes ``<folder>/<model>/<date>/<time>-<random>.parquet``.

    ``add`` never waits: when ``max_rows`` rows or ``max_bytes`` bytes are held, further ones are dropped and counted.
    Rows reach the disk within ``flush_seconds`` and at ``close``; a file appears whole or not at all. Where they
    cannot be written, such as on a full disk, they are dropped and counted, too.

    Parameters
    ----------
    columns_of
        Returns the columns of some entries, in the order of their rows.
    sent
        Called with each file that was written.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        columns_of: Callable[[Sequence[E]], Mapping[str, Sequence[Any] | pa.Array]],
        flush_seconds: float = FLUSH_SECONDS,
        max_rows: int = MAX_ROWS_HELD,
        max_bytes: int = MAX_BYTES_HELD,
        sent: Callable[[Path], None] | None = None,
    ) -> None:
        self.folder = folder
        self.schema = schema
        self.dropped = 0
        self.written = 0
        self._columns_of = columns_of
        self._sent = sent
        self._flush_seconds = flush_seconds
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._held: deque[E] = deque()
        self._rows = 0
        self._bytes = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"{folder.name}-log", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def add(self, entry: E) -> bool:
        """Hold an entry for writing; return whether there was room."""
        rows, size = entry.rows, entry.size
        with self._lock:
            if self._rows + rows > self._max_rows or self._bytes + size > self._max_bytes:
                self.dropped += rows
                return False
            self._held.append(entry)
            self._rows += rows
            self._bytes += size
        return True

    def close(self) -> None:
        """Write what is held and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(30)
        self.flush()

    def flush(self) -> None:
        """Write what is held; what cannot be written is dropped and counted."""
        with self._lock:
            held, self._held, self._rows, self._bytes = self._held, deque(), 0, 0
        groups: dict[tuple[str, str], list[E]] = {}
        for entry in held:
            groups.setdefault((entry.model, entry.at.strftime("%Y-%m-%d")), []).append(entry)
        for (model, date), group in groups.items():
            rows = sum(entry.rows for entry in group)
            try:
                self._write(self.folder / model / date, group)
                self.written += rows
            except Exception as error:  # noqa: BLE001  # whatever it is, the next rows must be written
                self.dropped += rows
                log.error("%d rows of %s are lost: %s", rows, self.folder.name, error)

    def _write(self, folder: Path, group: Sequence[E]) -> None:
        make_private(folder)
        name = f"{datetime.now(UTC):%H%M%S%f}-{token_hex(4)}.parquet"
        partial = folder / f".{name}.partial"
        try:
            with pq.ParquetWriter(partial, self.schema, compression="zstd", write_page_checksum=True) as writer:
                for part in _parts(group):
                    writer.write_table(pa.table(self._columns_of(part), schema=self.schema))
            partial.chmod(0o600)
            partial.rename(folder / name)
            if self._sent is not None:
                self._sent(folder / name)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def _loop(self) -> None:
        while not self._stop.is_set():
            deadline = time.monotonic() + self._flush_seconds
            while not self._stop.is_set() and time.monotonic() < deadline:
                self._stop.wait(min(0.5, self._flush_seconds))
            self.flush()


def _parts(group: Sequence[E]) -> Iterator[list[E]]:
    """Yield the entries in parts of about ``WRITE_BYTES``."""
    part: list[E] = []
    size = 0
    for entry in group:
        if part and size + entry.size > WRITE_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size
    yield part


def memory(cells: Sequence[Any]) -> int:
    """Return about how many bytes of memory cells take: texts by their length, lists and objects by what they hold."""
    with suppress(TypeError):  # most columns hold texts alone
        return CELL_BYTES * len(cells) + getsizeof("".join(cells))
    kinds = set(map(type, cells))
    found = CELL_BYTES * len(cells)
    if str in kinds:
        found += getsizeof("".join([cell for cell in cells if type(cell) is str]))
    if not kinds.isdisjoint(NESTED):
        found += sum(len(repr(cell)) for cell in cells if type(cell) in NESTED)
    return found
