"""Many rows through small decision trees at once: a lookup and an AND per column instead of a walk per tree.

QuickScorer (Lucchese et al., SIGIR 2015) turned round. A row that a node sends right cannot reach a leaf on the node's
left; what remains of a tree's leaves after all its nodes were asked is a set of bits whose lowest one is the leaf
reached. For each column the sets that remain are looked up by the rank of its value among the column's thresholds,
for all trees at once. LightGBM's own call walks tree by tree, where nearly every step is mispredicted: some 20 ns each.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.trees.bitset_nodes import ZERO, Bits, BitsetColumn, BitsetNodes, whole_word

Array = NDArray[np.float64]
BITS = (8, 16, 32, 64)
"""Words that hold the leaves of a tree: the narrowest that has a bit for each, or several of the widest."""
MOST_WORDS = 4
"""Leaves of a tree, in words of 64: beyond it a walk is cheaper."""
MOST_BYTES = 32_000_000
"""Look-up tables of one member."""
ROWS, GROUP_TREES = 512, 256
"""Rows and trees that are worked on at a time: enough to be worth the call, few enough to stay in the cache."""


class _Group(NamedTuple):
    """Some trees that follow each other.

    Attributes
    ----------
    sets
        By index in the list of columns, for those that the trees test: (ranks, trees × words) sets that remain.
    values
        (trees × words × bits,) leaf values, each tree's from left to right.
    starts
        (trees, 1) where each tree's values begin.
    """

    sets: list[tuple[int, Bits]]
    values: Array
    starts: NDArray[np.intp]


class Masks:
    """A booster's trees as look-up tables; made by ``of``.

    Parameters
    ----------
    columns
        Those that any tree asks.
    groups
        All trees.
    words, bits
        Number of words for each tree, and of leaves for each word.
    outputs
        Sums; tree i counts for sum ``i % outputs``, and so does each group's.
    """

    def __init__(self, columns: list[BitsetColumn], groups: list[_Group], words: int, bits: int, outputs: int) -> None:
        self._columns, self._groups = columns, groups
        self._words, self._bits, self._outputs = words, bits, outputs

    @classmethod
    def of(cls, booster: Any) -> Self | None:
        """Read a ``lightgbm.Booster``; None if its trees are too large or of a kind that is not known here."""
        text = booster.model_to_string(num_iteration=-1)
        head, *blocks = re.split(r"(?m)^Tree=\d+$", text.partition("end of trees")[0])
        if not blocks or "average_output" in head:
            return None
        trees = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
        most = max(int(tree["num_leaves"]) for tree in trees)
        bits = next((bits for bits in BITS if bits >= most), BITS[-1])
        words = -(-most // bits)
        if words > MOST_WORDS or any(int(tree.get("is_linear", 0)) for tree in trees):
            return None
        nodes = BitsetNodes.of(trees, words, bits)
        if nodes is None or nodes.bytes() > MOST_BYTES:
            return None
        values, outputs = nodes.values, booster.num_model_per_iteration()
        size = outputs * max(1, GROUP_TREES // outputs)
        tables = list(nodes.columns())
        groups, whole = [], whole_word(bits)
        for first in range(0, len(trees), size):
            part = slice(first, first + size)
            asked = [(index, sets[:, part]) for index, (_, sets) in enumerate(tables) if (sets[:, part] != whole).any()]
            starts = np.arange(len(values[part]), dtype=np.intp)[:, None] * (words * bits)
            flat = [(index, np.ascontiguousarray(sets).reshape(len(sets), -1)) for index, sets in asked]
            groups.append(_Group(flat, values[part].ravel(), starts))
        return cls([column for column, _ in tables], groups, words, bits, outputs)

    def sums(self, X: Array) -> Array:
        """Return (n, outputs) sums of leaves of the rows ``X`` (n, p), added in the order of the trees."""
        if len(X) <= ROWS:
            return self._sums(X)
        return np.concatenate(list(_threads().map(self._sums, np.array_split(X, -(-len(X) // ROWS)))))

    def _sums(self, X: Array) -> Array:
        ranks = [_ranks(column, X[:, column.position]) for column in self._columns]
        room = max(len(group.starts) for group in self._groups)
        left, found = np.empty((2, len(X) * room * self._words), dtype=whole_word(self._bits).dtype)
        added = np.empty((self._outputs + room, len(X)))
        added[: self._outputs] = 0.0
        for group in self._groups:
            trees = len(group.starts)
            shape = (len(X), trees * self._words)
            size = shape[0] * shape[1]
            reached = self._leaves(group, ranks, left[:size].reshape(shape), found[:size].reshape(shape))
            leaves = added[: self._outputs + trees]
            indices = np.ascontiguousarray(reached.T).astype(np.intp)  # turned while it is small
            indices += group.starts
            group.values.take(indices, out=leaves[self._outputs :], mode="clip")
            for output in range(self._outputs):
                # Row by row, so tree by tree, after the sum so far; a single column would be added in pairs.
                own = leaves[output :: self._outputs]
                total = np.add.reduce(own, axis=0) if len(X) > 1 else np.add.accumulate(own, axis=0)[-1]
                added[output] = total
        return added[: self._outputs].T

    def _leaves(self, group: _Group, ranks: list[NDArray[np.intp]], left: Bits, found: Bits) -> NDArray[Any]:
        """Return the number, from the left, of the leaf (rows, trees) that each row reaches."""
        whole = whole_word(self._bits)
        left.fill(whole)
        for index, sets in group.sets:
            sets.take(ranks[index], axis=0, out=found, mode="clip")
            left &= found
        np.negative(left, out=found)
        found &= left
        found -= whole.dtype.type(1)
        reached: NDArray[Any] = np.bitwise_count(found)
        if self._words == 1:
            return reached
        # No leaf left in a word counts all its bits: then the next one tells.
        split = reached.astype(np.int16).reshape(len(left), -1, self._words)
        reached = split[:, :, -1] + self._bits * (self._words - 1)
        for word in range(self._words - 2, -1, -1):
            reached = np.where(split[:, :, word] < self._bits, split[:, :, word] + self._bits * word, reached)
        return reached


def _ranks(column: BitsetColumn, cells: Array) -> NDArray[np.intp]:
    """Return each cell's rank, the row of the column's sets."""
    missing = np.isnan(cells)
    last = column.ranks - 1
    if column.thresholds is not None:
        if column.tiny:
            cells = np.where(np.abs(cells) <= ZERO, 0.0, cells)
        ranks = np.searchsorted(column.thresholds, cells, side="left")
        return np.where(missing, last, ranks) if missing.any() else ranks
    codes = np.where(missing, -1.0, np.trunc(cells))
    # A code that no tree knows goes right everywhere, as NaN does.
    return np.where((codes >= 0.0) & (cells > -1.0) & (codes < last), codes, last).astype(np.intp)


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that parts of the rows are worked on in; NumPy's loops leave the interpreter's lock.

    As many as OpenMP would take: a trial has one.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    count = int(threads) if threads.isdigit() and int(threads) else len(os.sched_getaffinity(0))
    return ThreadPoolExecutor(count, thread_name_prefix="trees")


os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not follow into a child
