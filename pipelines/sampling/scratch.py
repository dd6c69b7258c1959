"""One number per row, in row order, in a file instead of memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PART = 1 << 18
"""Rows held at a time."""


class Scratch:
    """A column of numbers that is written once from the first row to the last and read in the same order."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.kind = np.dtype(kind)
        self.rows = 0
        self._stream = path.open("wb")

    @classmethod
    def zeros(cls, path: Path, kind: str, rows: int) -> Scratch:
        """Return a finished column of zeros, whose file may be filled in any order."""
        scratch = cls(path, kind)
        scratch._stream.truncate(rows * scratch.kind.itemsize)
        scratch.rows = rows
        scratch.finish()
        return scratch

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add the numbers of the next rows."""
        np.ascontiguousarray(values, self.kind).tofile(self._stream)
        self.rows += len(values)

    def finish(self) -> None:
        """End writing."""
        self._stream.close()

    def reader(self) -> ScratchReader:
        """Read from the first row on."""
        return ScratchReader(self)

    def at(self, start: int, count: int) -> npt.NDArray[Any]:
        """Read the numbers of ``count`` rows from row ``start`` on."""
        values = np.fromfile(self.path, self.kind, count, offset=start * self.kind.itemsize)
        if len(values) != count:
            raise OSError(f"{self.path} ends {count - len(values)} rows too early")
        return values

    def parts(self) -> Iterator[npt.NDArray[Any]]:
        """Yield all numbers, ``PART`` at a time."""
        reader = self.reader()
        for start in range(0, self.rows, PART):
            yield reader.take(min(PART, self.rows - start))


class ScratchReader:
    """Reads the numbers of a ``Scratch`` in order."""

    def __init__(self, scratch: Scratch) -> None:
        self._kind = scratch.kind
        self._stream = scratch.path.open("rb")

    def take(self, count: int) -> npt.NDArray[Any]:
        """Return the numbers of the next ``count`` rows."""
        values = np.fromfile(self._stream, self._kind, count)
        if len(values) != count:
            raise OSError(f"{self._stream.name} ends {count - len(values)} rows too early")
        return values

    def __del__(self) -> None:
        self._stream.close()
