"""Rows to Parquet files by model and day: bounded in memory, written by a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.settings import make_private

log = logging.getLogger(__name__)

FLUSH_SECONDS = 3.0
MAX_ROWS_HELD = 50_000


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


E = TypeVar("E", bound=Entry)


class ParquetLog(Generic[E]):
    """Writes ``<folder>/<model>/<date>/<time>-<random>.parquet``.

    ``add`` never waits: when ``max_rows`` rows are held, further ones are dropped and counted. Rows reach the disk
    within ``flush_seconds`` and at ``close``; a file appears whole or not at all.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        columns_of: Callable[[E], Mapping[str, Sequence[Any]]],
        flush_seconds: float = FLUSH_SECONDS,
        max_rows: int = MAX_ROWS_HELD,
    ) -> None:
        self.folder = folder
        self.schema = schema
        self.dropped = 0
        self.written = 0
        self._columns_of = columns_of
        self._flush_seconds = flush_seconds
        self._max_rows = max_rows
        self._held: deque[E] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"{folder.name}-log", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def add(self, entry: E) -> bool:
        """Hold an entry for writing; return whether there was room."""
        with self._lock:
            if self._rows + entry.rows > self._max_rows:
                self.dropped += entry.rows
                return False
            self._held.append(entry)
            self._rows += entry.rows
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
            held, self._held, self._rows = self._held, deque(), 0
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

    def _write(self, folder: Path, group: list[E]) -> None:
        make_private(folder)
        columns: dict[str, list[Any]] = {name: [] for name in self.schema.names}
        for entry in group:
            for column, cells in self._columns_of(entry).items():
                columns[column] += cells
        table = pa.table(columns, schema=self.schema)
        name = f"{datetime.now(UTC):%H%M%S%f}-{token_hex(4)}.parquet"
        partial = folder / f".{name}.partial"
        pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
        partial.chmod(0o600)
        partial.rename(folder / name)

    def _loop(self) -> None:
        while not self._stop.is_set():
            deadline = time.monotonic() + self._flush_seconds
            while not self._stop.is_set() and time.monotonic() < deadline:
                self._stop.wait(min(0.5, self._flush_seconds))
            self.flush()
