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
Bits = NDArray[np.unsignedinteger[Any]]
BITS = (8, 16, 32, 64)
"""Words that hold the leaves of a tree: the narrowest that has a bit for each, or several of the widest."""
MOST_WORDS = 4
"""Leaves of a tree, in words of 64: beyond it a walk is cheaper."""
MOST_BYTES = 32_000_000
"""Look-up tables of one member."""
ROWS, GROUP_BYTES = 256, 512
"""Rows, and bytes of one row's sets, that are worked on at a time: together they stay in the processor's cache."""
CATEGORICAL, DEFAULT_LEFT, MISSING, NAN_IS_MISSING, NONE_IS_MISSING = 1, 2, 12, 8, 0
"""Bits of LightGBM's ``decision_type``."""


class _Column(NamedTuple):
    """One column's cells by place among ``thresholds``, or by code; the last of the ``ranks`` is for NaN."""

    place: int
    thresholds: Array | None
    ranks: int


class _Group(NamedTuple):
    """Some trees that follow each other.

    Attributes
    ----------
    sets
        By place in the list of columns, for those that the trees ask: (ranks, trees × words) sets that remain.
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

    def __init__(self, columns: list[_Column], groups: list[_Group], words: int, bits: int, outputs: int) -> None:
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
        nodes = _Nodes(len(trees), words, bits)
        values = np.zeros((len(trees), words * bits))
        for number, tree in enumerate(trees):
            order = nodes.add(number, tree)
            if order is None:
                return None
            values[number, : len(order)] = np.array(tree["leaf_value"].split(), dtype=np.float64)[order]
        if nodes.bytes() > MOST_BYTES:
            return None
        outputs = booster.num_model_per_iteration()
        size = outputs * max(1, 8 * GROUP_BYTES // (words * bits * outputs))
        tables = list(nodes.columns())
        groups, whole = [], _whole(bits)
        for first in range(0, len(trees), size):
            part = slice(first, first + size)
            asked = [(place, sets[:, part]) for place, (_, sets) in enumerate(tables) if (sets[:, part] != whole).any()]
            starts = np.arange(len(values[part]), dtype=np.intp)[:, None] * (words * bits)
            flat = [(place, np.ascontiguousarray(sets).reshape(len(sets), -1)) for place, sets in asked]
            groups.append(_Group(flat, values[part].ravel(), starts))
        return cls([column for column, _ in tables], groups, words, bits, outputs)

    def sums(self, X: Array) -> Array:
        """Give (n, outputs) sums of leaves of the rows ``X`` (n, p), added in the order of the trees."""
        parts = np.array_split(X, -(-len(X) // ROWS)) if len(X) > ROWS else [X]
        return np.concatenate([self._sums(part) for part in parts])

    def _sums(self, X: Array) -> Array:
        ranks = [_ranks(column, X[:, column.place]) for column in self._columns]
        room = max(len(group.starts) for group in self._groups)
        left, found = np.empty((2, len(X) * room * self._words), dtype=_whole(self._bits).dtype)
        added = np.empty((self._outputs + room, len(X)))
        added[: self._outputs] = 0.0
        for group in self._groups:
            trees = len(group.starts)
            shape = (len(X), trees * self._words)
            size = shape[0] * shape[1]
            reached = self._leaves(group, ranks, left[:size].reshape(shape), found[:size].reshape(shape))
            leaves = added[: self._outputs + trees]
            places = np.ascontiguousarray(reached.T).astype(np.intp)  # turned while it is small
            places += group.starts
            group.values.take(places, out=leaves[self._outputs :], mode="clip")
            for output in range(self._outputs):
                # Row by row, so tree by tree, after the sum so far; a single column would be added in pairs.
                own = leaves[output :: self._outputs]
                total = np.add.reduce(own, axis=0) if len(X) > 1 else np.add.accumulate(own, axis=0)[-1]
                added[output] = total
        return added[: self._outputs].T

    def _leaves(self, group: _Group, ranks: list[NDArray[np.intp]], left: Bits, found: Bits) -> NDArray[Any]:
        """Give the number, from the left, of the leaf (rows, trees) that each row reaches."""
        whole = _whole(self._bits)
        left.fill(whole)
        for place, sets in group.sets:
            sets.take(ranks[place], axis=0, out=found, mode="clip")
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


def _whole(bits: int) -> Any:
    """Give the word of which no leaf is gone."""
    return np.array(2**bits - 1, dtype=f"u{bits // 8}")[()]


def _ranks(column: _Column, cells: Array) -> NDArray[np.intp]:
    """Give each cell's rank, the row of the column's sets."""
    missing = np.isnan(cells)
    last = column.ranks - 1
    if column.thresholds is not None:
        ranks = np.searchsorted(column.thresholds, cells, side="left")
        return np.where(missing, last, ranks) if missing.any() else ranks
    codes = np.where(missing, -1.0, np.trunc(cells))
    # A code that no tree knows goes right everywhere, as NaN does.
    return np.where((codes >= 0.0) & (cells > -1.0) & (codes < last), codes, last).astype(np.intp)


class _Nodes:
    """Collects the nodes of all trees by the column that they ask."""

    def __init__(self, trees: int, words: int, bits: int) -> None:
        self.trees, self.words, self.bits = trees, words, bits
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
        return sum(self._ranks(feature) for feature in self._asked) * self.trees * self.words * self.bits // 8

    def columns(self) -> Iterator[tuple[_Column, Bits]]:
        """Give each column that is asked with its sets (ranks, trees, words)."""
        for feature in sorted(self._asked):
            yield self._coded(feature) if self._kinds[feature] else self._ordered(feature)

    def _ranks(self, feature: int) -> int:
        asked = self._asked[feature]
        if self._kinds[feature]:
            return 32 * max(len(words) for _, words, *_ in asked) + 1
        return len({threshold for _, threshold, *_ in asked}) + 2

    def _empty(self, feature: int) -> Bits:
        return np.full((self._ranks(feature), self.trees, self.words), _whole(self.bits))

    def _ordered(self, feature: int) -> tuple[_Column, Bits]:
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
        return _Column(feature, thresholds, len(sets)), sets

    def _coded(self, feature: int) -> tuple[_Column, Bits]:
        sets = self._empty(feature)
        for number, words, _, begin, end in self._asked[feature]:
            right = np.ones(len(sets), dtype=bool)
            bits = np.unpackbits(np.array(words, dtype="<u4").view(np.uint8), bitorder="little").astype(bool)
            right[: len(bits)] = ~bits
            sets[right, number] &= self._kept(begin, end)
        return _Column(feature, None, len(sets)), sets

    def _kept(self, begin: int, end: int) -> Bits:
        """Give the set without the leaves from ``begin`` to ``end``."""
        gone = (1 << end) - (1 << begin)
        words = [~(gone >> (self.bits * word)) & (2**self.bits - 1) for word in range(self.words)]
        return np.array(words, dtype=_whole(self.bits).dtype)
