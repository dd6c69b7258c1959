"""Counts of the units of a seal, keys or entities, from which the sealed ones are chosen.

A unit is known by its seal score. Told batch by batch; memory grows with the entities, not with the rows.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Scores = NDArray[np.float64]
KEPT = 16
"""Number of lowest distinct scores that are kept for each class."""
MOST_CLASSES = 1_000
"""With more labels than this, no class gets a sealed row of its own."""


class Sizes:
    """Labelled rows of every unit."""

    def __init__(self) -> None:
        self._scores: Scores = np.empty(0)
        self._counts = np.empty(0, np.int64)
        self._waiting: list[tuple[Scores, NDArray[np.bool_]]] = []
        self._rows = 0

    def add(self, scores: Scores, labelled: NDArray[np.bool_]) -> None:
        """Add some rows."""
        self._waiting.append((scores, labelled))
        self._rows += len(scores)
        if self._rows > max(2 * len(self._scores), 1 << 20):
            self._merge()

    def units(self) -> tuple[Scores, NDArray[np.int64]]:
        """Return the score of every unit, ascending, and the number of its labelled rows; some have none."""
        self._merge()
        return self._scores, self._counts

    def _merge(self) -> None:
        scores = np.concatenate([self._scores, *(part for part, _ in self._waiting)])
        counts = np.concatenate([self._counts, *(part.astype(np.int64) for _, part in self._waiting)])
        self._scores, indices = np.unique(scores, return_inverse=True)
        self._counts = np.bincount(indices, counts, len(self._scores)).astype(np.int64)
        self._waiting, self._rows = [], 0


class Classes:
    """Labelled rows of every class, and the lowest scores of units that have some."""

    def __init__(self) -> None:
        self._indices: dict[str, int] = {}
        self.rows = np.empty(0, np.int64)
        self.lowest: Scores = np.empty((0, KEPT))
        """(classes, KEPT) ascending, infinite where there are fewer units."""

    @property
    def labels(self) -> list[str]:
        """The classes; empty if there are too many."""
        return list(self._indices) if len(self._indices) <= MOST_CLASSES else []

    def add(self, scores: Scores, labels: pa.Array) -> None:
        """Add some rows; rows without a label do not count."""
        if len(self._indices) > MOST_CLASSES:
            return
        coded = labels.dictionary_encode()
        local = [self._indices.setdefault(text, len(self._indices)) for text in coded.dictionary.to_pylist()]
        missing = len(self._indices) - len(self.rows)
        self.rows = np.concatenate([self.rows, np.zeros(missing, np.int64)])
        self.lowest = np.concatenate([self.lowest, np.full((missing, KEPT), np.inf)])
        known = labels.is_valid().to_numpy(zero_copy_only=False)
        codes = np.array([*local, 0], np.intp)[coded.indices.fill_null(len(local)).to_numpy(zero_copy_only=False)]
        self.rows += np.bincount(codes[known], minlength=len(self.rows))
        low = known & (scores < self.lowest[codes, -1]) if len(self.rows) else known
        if low.any():
            self._keep(codes[low], scores[low])

    def _keep(self, codes: NDArray[np.intp], scores: Scores) -> None:
        index, rank = np.nonzero(np.isfinite(self.lowest))
        codes, scores = np.concatenate([codes, index]), np.concatenate([scores, self.lowest[index, rank]])
        order = np.lexsort((scores, codes))
        codes, scores = codes[order], scores[order]
        new = np.append(True, (codes[1:] != codes[:-1]) | (scores[1:] != scores[:-1]))
        codes, scores = codes[new], scores[new]
        rank = np.arange(len(codes)) - np.searchsorted(codes, codes)
        kept = rank < KEPT
        self.lowest[codes[kept], rank[kept]] = scores[kept]
