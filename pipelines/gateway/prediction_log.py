"""The prediction log: requests and answers to Parquet, bounded in memory, written by a thread of its own."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import AimassError
from pipelines.gateway.protocols.native import by_row
from pipelines.settings import make_private

log = logging.getLogger(__name__)

FLUSH_SECONDS = 3.0
MAX_ROWS_HELD = 50_000
SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("instance", pa.string()),
        ("prediction", pa.string()),
        ("status", pa.int64()),
        ("ms", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Answered:
    """One request and its response.

    Parameters
    ----------
    ms
        Time to the response, in milliseconds.
    count
        Rows that were asked for; 0 where the request could not be read.
    cells
        By column, ``count`` cells each.
    outputs
        By name, ``count`` values each; empty where it failed.
    """

    request_id: str
    at: datetime
    model: str
    version: int | None
    status: int
    ms: float
    count: int
    cells: Mapping[str, Sequence[Any]]
    outputs: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Rows it takes in the log: one per instance, one for a request without any."""
        return max(1, self.count)


class PredictionLog:
    """Writes ``<folder>/<model>/<date>/<time>-<random>.parquet``: one row per instance.

    ``add`` never waits: when ``MAX_ROWS_HELD`` rows are held, further ones are dropped and counted. Rows reach the
    disk within ``FLUSH_SECONDS`` and at ``close``; a file appears whole or not at all.
    """

    def __init__(self, folder: Path, flush_seconds: float = FLUSH_SECONDS, max_rows: int = MAX_ROWS_HELD) -> None:
        self.folder = folder
        self.dropped = 0
        self.written = 0
        self._flush_seconds = flush_seconds
        self._max_rows = max_rows
        self._held: deque[Answered] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def add(self, answered: Answered) -> bool:
        """Hold one request for writing; tell whether there was room."""
        with self._lock:
            if self._rows + answered.rows > self._max_rows:
                self.dropped += answered.rows
                return False
            self._held.append(answered)
            self._rows += answered.rows
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
        groups: dict[tuple[str, str], list[Answered]] = {}
        for answered in held:
            groups.setdefault((answered.model, answered.at.strftime("%Y-%m-%d")), []).append(answered)
        for (model, date), group in groups.items():
            rows = sum(answered.rows for answered in group)
            try:
                self._write(self.folder / model / date, group)
                self.written += rows
            except (OSError, pa.ArrowException, AimassError) as error:
                self.dropped += rows
                log.error("%d rows of the prediction log are lost: %s", rows, error)

    def _write(self, folder: Path, group: list[Answered]) -> None:
        make_private(folder)
        table = pa.Table.from_pylist([row for answered in group for row in _rows_of(answered)], schema=SCHEMA)
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


def _rows_of(answered: Answered) -> list[dict[str, Any]]:
    common = {
        "request_id": answered.request_id,
        "at": answered.at,
        "model": answered.model,
        "version": answered.version,
        "status": answered.status,
        "ms": answered.ms,
    }
    if not answered.count:
        return [{**common, "instance": None, "prediction": None}]
    predictions: list[str | None] = [json.dumps(row) for row in by_row(answered.outputs)] or [None] * answered.count
    names = list(answered.cells)
    return [
        {**common, "instance": json.dumps(dict(zip(names, cells, strict=True))), "prediction": prediction}
        for cells, prediction in zip(zip(*answered.cells.values(), strict=True), predictions, strict=True)
    ]
