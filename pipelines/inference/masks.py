"""Many rows through small decision trees at once: a lookup and an AND per column instead of a walk per tree.

QuickScorer (Lucchese et al., SIGIR 2015) turned round. A row that a node sends right cannot reach a leaf on the node's
left; what remains of a tree's leaves after all its nodes were asked is a set of bits whose lowest one is the leaf
reached. For each column the sets that remain are looked up by the place of its value among the column's thresholds,
for all trees at once. LightGBM's own call walks tree by tree, where nearly every step is mispredicted: some 20 ns each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bits = NDArray[np.uint64]
WORD = 64
MOST_WORDS = 4
"""Leaves of a tree, in words of 64: beyond it a walk is cheaper."""
MOST_BYTES = 32_000_000
"""Look-up tables of one member."""
CACHE_WORDS = 65_536
"""Rows are taken in blocks whose sets stay in the processor's cache."""
ALL = np.uint64(2**64 - 1)
CATEGORICAL, DEFAULT_LEFT, MISSING, NAN_IS_MISSING, NONE_IS_MISSING = 1, 2, 12, 8, 0
"""Bits of LightGBM's ``decision_type``."""


class _Column(NamedTuple):
    """Sets that remain (ranks, trees × words): by place among ``thresholds``, or by code; the last one is for NaN."""

    place: int
    thresholds: Array | None
    sets: Bits


class Masks:
    """A booster's trees as look-up tables; made by ``of``.

    Parameters
    ----------
    columns
        Those that any tree asks.
    values
        (trees × words × 64,) leaf values, each tree's from left to right.
    trees, words
        Number of trees, and of words of 64 leaves for each.
    outputs
        Sums; tree i counts for sum ``i % outputs``.
    """

    def __init__(self, columns: list[_Column], values: Array, trees: int, words: int, outputs: int) -> None:
        self._columns, self._values = columns, values
        self._trees, self._words, self._outputs = trees, words, outputs
        self._starts = np.arange(trees, dtype=np.intp) * (words * WORD)

    @classmethod
    def of(cls, booster: Any) -> Self | None:
        """Read a ``lightgbm.Booster``; None if its trees are too large or of a kind that is not known here."""
        text = booster.model_to_string(num_iteration=-1)
        head, *blocks = re.split(r"(?m)^Tree=\d+$", text.partition("end of trees")[0])
        if not blocks or "average_output" in head:
            return None
        trees = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
        words = -(-max(int(tree["num_leaves"]) for tree in trees) // WORD)
        if words > MOST_WORDS or any(int(tree.get("is_linear", 0)) for tree in trees):
            return None
        nodes = _Nodes(len(trees), words)
        values = np.zeros((len(trees), words * WORD))
        for number, tree in enumerate(trees):
            order = nodes.add(number, tree)
            if order is None:
                return None
            values[number, : len(order)] = np.array(tree["leaf_value"].split(), dtype=np.float64)[order]
        if nodes.bytes() > MOST_BYTES:
            return None
        return cls(list(nodes.columns()), values.ravel(), len(trees), words, booster.num_model_per_iteration())

    def sums(self, X: Array) -> Array:
        """Give (n, outputs) sums of leaves of the rows ``X`` (n, p), added in the order of the trees."""
        out = np.empty((len(X), self._outputs))
        size = max(16, CACHE_WORDS // (self._trees * self._words))
        for start in range(0, len(X), size):
            self._block(X[start : start + size], out[start : start + size])
        return out

    def _block(self, X: Array, out: Array) -> None:
        left = np.full((len(X), self._trees * self._words), ALL)
        found = np.empty_like(left)
        for column in self._columns:
            column.sets.take(_ranks(column, X[:, column.place]), axis=0, out=found, mode="clip")
            left &= found
        np.negative(left, out=found)
        found &= left
        found -= np.uint64(1)
        reached = np.bitwise_count(found).astype(np.intp)
        if self._words > 1:
            # No leaf left in a word counts 64: then the next one tells.
            split = reached.reshape(len(X), self._trees, self._words)
            reached = split[:, :, -1] + WORD * (self._words - 1)
            for word in range(self._words - 2, -1, -1):
                reached = np.where(split[:, :, word] < WORD, split[:, :, word] + WORD * word, reached)
        reached += self._starts
        leaves = np.ascontiguousarray(self._values.take(reached).T)
        for output in range(self._outputs):
            # Row by row of ``leaves``, so tree by tree; a single column would be added in pairs.
            own = leaves[output :: self._outputs]
            out[:, output] = np.add.reduce(own, axis=0) if len(X) > 1 else np.add.accumulate(own, axis=0)[-1]


def _ranks(column: _Column, cells: Array) -> NDArray[np.intp]:
    """Give each cell's row of ``column.sets``."""
    missing = np.isnan(cells)
    last = len(column.sets) - 1
    if column.thresholds is not None:
        ranks = np.searchsorted(column.thresholds, cells, side="left")
        return np.where(missing, last, ranks) if missing.any() else ranks
    codes = np.where(missing, -1.0, np.trunc(cells))
    # A code that no tree knows goes right everywhere, as NaN does.
    return np.where((codes >= 0.0) & (cells > -1.0) & (codes < last), codes, last).astype(np.intp)


class _Nodes:
    """Collects the nodes of all trees by the column that they ask."""

    def __init__(self, trees: int, words: int) -> None:
        self.trees, self.words = trees, words
        self._kinds: dict[int, bool] = {}
        self._asked: dict[int, list[tuple[int, Any, bool, int, int]]] = {}

    def add(self, number: int, tree: dict[str, str]) -> list[int] | None:
        """Take in one tree; give its leaves from left to right, or None for a kind of node that is not known here."""
        leaves = int(tree["num_leaves"])
        if leaves == 1:
            return [0]
        left, right, features, kinds = (
            [int(word) for word in tree[name].split()]
            for name in ("left_child", "right_child", "split_feature", "decision_type")
        )
        thresholds = [float(word) for word in tree["threshold"].split()]
        bounds, sets = ([int(w) for w in tree.get(name, "").split()] for name in ("cat_boundaries", "cat_threshold"))
        counts = [0] * (leaves - 1)
        for node in range(leaves - 2, -1, -1):  # children come after their parents
            counts[node] = sum(1 if child < 0 else counts[child] for child in (left[node], right[node]))
        starts, order = [0] * (leaves - 1), [0] * leaves
        for node in range(leaves - 1):
            begin = starts[node]
            middle = begin + (1 if left[node] < 0 else counts[left[node]])
            for child, start in ((left[node], begin), (right[node], middle)):
                if child < 0:
                    order[start] = ~child
                else:
                    starts[child] = start
            kind, feature = kinds[node], features[node]
            coded = bool(kind & CATEGORICAL)
            if self._kinds.setdefault(feature, coded) != coded or kind & MISSING not in (
                NAN_IS_MISSING,
                NONE_IS_MISSING,
            ):
                return None
            if coded:
                which = int(thresholds[node])
                asks: Any = sets[bounds[which] : bounds[which + 1]]
                nan_left = False
            else:
                asks = thresholds[node]
                nan_left = bool(kind & DEFAULT_LEFT) if kind & MISSING else asks >= 0.0
            self._asked.setdefault(feature, []).append((number, asks, nan_left, begin, middle))
        return order

    def bytes(self) -> int:
        """Give the size of the tables."""
        return sum(self._ranks(feature) for feature in self._asked) * self.trees * self.words * 8

    def columns(self) -> Iterator[_Column]:
        """Give the tables."""
        for feature in sorted(self._asked):
            yield self._coded(feature) if self._kinds[feature] else self._ordered(feature)

    def _ranks(self, feature: int) -> int:
        asked = self._asked[feature]
        if self._kinds[feature]:
            return 32 * max(len(words) for _, words, *_ in asked) + 1
        return len({threshold for _, threshold, *_ in asked}) + 2

    def _empty(self, feature: int) -> Bits:
        return np.full((self._ranks(feature), self.trees, self.words), ALL)

    def _ordered(self, feature: int) -> _Column:
        asked = self._asked[feature]
        thresholds = np.unique([threshold for _, threshold, *_ in asked])
        sets = self._empty(feature)
        nan = sets[-1].copy()
        for number, threshold, nan_left, begin, end in asked:
            kept = self._kept(begin, end)
            sets[np.searchsorted(thresholds, threshold) + 1, number] &= kept
            if not nan_left:
                nan[number] &= kept
        np.bitwise_and.accumulate(sets[:-1], axis=0, out=sets[:-1])
        sets[-1] = nan
        return _Column(feature, thresholds, sets.reshape(len(sets), -1))

    def _coded(self, feature: int) -> _Column:
        sets = self._empty(feature)
        for number, words, _, begin, end in self._asked[feature]:
            right = np.ones(len(sets), dtype=bool)
            bits = np.unpackbits(np.array(words, dtype="<u4").view(np.uint8), bitorder="little").astype(bool)
            right[: len(bits)] = ~bits
            sets[right, number] &= self._kept(begin, end)
        return _Column(feature, None, sets.reshape(len(sets), -1))

    def _kept(self, begin: int, end: int) -> Bits:
        """Give the set without the leaves from ``begin`` to ``end``."""
        gone = (1 << end) - (1 << begin)
        words = [~(gone >> (WORD * word)) & (2**WORD - 1) for word in range(self.words)]
        return np.array(words, dtype=np.uint64)
