"""Rows handed from one thread to another that takes them as they come, few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Queue
from typing import TypeVar

import pyarrow as pa

AHEAD = 2
"""Batches that may wait."""
T = TypeVar("T")


class Handed:
    """A stream of batches with one thread at each end; ``end`` closes it, whatever has happened at either."""

    def __init__(self) -> None:
        self._queue: Queue[pa.RecordBatch | None] = Queue(AHEAD)

    def put(self, batch: pa.RecordBatch) -> None:
        """Hand on a batch; wait while others are waiting."""
        self._queue.put(batch)

    def end(self) -> None:
        """Say that no batch follows."""
        self._queue.put(None)

    def to(self, take: Callable[[Iterator[pa.RecordBatch]], T]) -> T:
        """Return all batches to ``take``; those that it leaves, because it failed, are let go."""
        batches = iter(self._queue.get, None)
        try:
            return take(batches)
        finally:
            for _ in batches:
                pass
