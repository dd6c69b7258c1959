"""What became of a caller's cells: which are unreadable, unseen in training, or out of its range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.inference.schema import RequestColumn

UNREADABLE: Final = "unreadable"
"""A value is there that is none of the column's kind; it counts as missing."""
UNSEEN: Final = "unseen"
"""A category that no training row had."""
OUT_OF_RANGE: Final = "out_of_range"
"""A number beyond all numbers of the training rows."""
Counts = dict[str, dict[str, int]]
"""Column → kind of doubt → number of cells."""


@dataclass(frozen=True)
class Doubts:
    """What training knew of each column; counts the cells of new rows that it did not.

    Parameters
    ----------
    ranges
        Lowest and highest number of a column's training rows.
    levels
        All categories of a column's training rows; columns with too many of them are not judged.
    """

    ranges: Mapping[str, tuple[float, float]]
    levels: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, columns: Iterable[RequestColumn]) -> Doubts:
        """Take what the serve schema knows."""
        columns = list(columns)
        ranges = {c.name: (c.low, c.high) for c in columns if c.low is not None and c.high is not None}
        return cls(ranges, {c.name: frozenset(c.levels) for c in columns if c.levels is not None})

    def cells_of_frame(
        self, clean: pd.DataFrame, bad: pd.DataFrame
    ) -> Iterator[tuple[str, str, np.ndarray[Any, np.dtype[np.bool_]]]]:
        """Yield column, kind and (n,) which cells, for clean rows and those unreadable, shape (n, columns) each."""
        for name in bad:
            yield str(name), UNREADABLE, bad[name].to_numpy(dtype=bool)
        for name, (low, high) in self.ranges.items():
            if name in clean:
                values = clean[name].to_numpy(dtype=np.float64)
                yield name, OUT_OF_RANGE, (values < low) | (values > high)
        for name, known in self.levels.items():
            if name in clean:
                cells = clean[name]
                yield name, UNSEEN, (cells.notna() & ~cells.isin(known)).to_numpy(dtype=bool)

    def cells_of_column(self, name: str, values: Any) -> tuple[str, np.ndarray[Any, np.dtype[np.bool_]]] | None:
        """Return kind and (n,) which cells of a clean column, in the form that a feature plan takes; None: no cell."""
        if name in self.ranges:
            low, high = self.ranges[name]
            beyond = (values < low) | (values > high)
            return (OUT_OF_RANGE, beyond) if beyond.any() else None
        if name in self.levels:
            known = self.levels[name]
            unseen = [text not in known for text in values.dictionary.to_pylist()]
            if any(unseen):
                indices = values.indices.fill_null(len(unseen)).to_numpy(zero_copy_only=False)
                return UNSEEN, np.array([*unseen, False])[indices]
        return None

    def cells_of_row(self, clean: Mapping[str, Any], bad: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield column and kind of each doubtful cell of one clean row."""
        for name in bad:
            yield name, UNREADABLE
        for name, (low, high) in self.ranges.items():
            value = clean.get(name)
            if value is not None and not low <= value <= high:
                yield name, OUT_OF_RANGE
        for name, known in self.levels.items():
            value = clean.get(name)
            if value is not None and value not in known:
                yield name, UNSEEN

    def of_frame(self, clean: pd.DataFrame, bad: pd.DataFrame) -> Counts:
        """Count the doubtful cells of clean rows, see :meth:`cells_of_frame`."""
        counts: Counts = {}
        for name, kind, cells in self.cells_of_frame(clean, bad):
            _put(counts, name, kind, int(cells.sum()))
        return counts

    def of_row(self, clean: Mapping[str, Any], bad: Sequence[str], counts: Counts) -> None:
        """Add the doubts about one clean row to ``counts``."""
        for name, kind in self.cells_of_row(clean, bad):
            _put(counts, name, kind, 1)


def added(counts: Counts, more: Counts) -> Counts:
    """Add counts to counts."""
    for name, kinds in more.items():
        for kind, count in kinds.items():
            _put(counts, name, kind, count)
    return counts


def lines_of(counts: Counts) -> list[str]:
    """Return one line per column and kind of doubt."""
    words = {
        UNREADABLE: "cannot be read, taken as missing",
        UNSEEN: "are categories that training never saw",
        OUT_OF_RANGE: "lie out of the range of training",
    }
    return [
        f"{count} cells of column {name!r} {words[kind]}"
        for name, kinds in counts.items()
        for kind, count in kinds.items()
    ]


def _put(counts: Counts, name: str, kind: str, count: int) -> None:
    if count:
        kinds = counts.setdefault(name, {})
        kinds[kind] = kinds.get(kind, 0) + count
