"""A bounded stream of batches from one thread to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Queue
from typing import TypeVar

import pyarrow as pa

AHEAD = 2
"""Batches that may wait."""
T = TypeVar("T")


class Handed:
    """A stream of batches with one thread at each end; ``end`` closes it, also after an error."""

    def __init__(self) -> None:
        self._queue: Queue[pa.RecordBatch | None] = Queue(AHEAD)

    def put(self, batch: pa.RecordBatch) -> None:
        """Put a batch; wait while the stream is full."""
        self._queue.put(batch)

    def end(self) -> None:
        """Close the stream."""
        self._queue.put(None)

    def to(self, take: Callable[[Iterator[pa.RecordBatch]], T]) -> T:
        """Pass all batches to ``take``; discard the rest if it fails."""
        batches = iter(self._queue.get, None)
        try:
            return take(batches)
        finally:
            for _ in batches:
                pass
