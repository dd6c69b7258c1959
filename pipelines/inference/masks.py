"""Many rows through small decision trees at once: a lookup and an AND per column instead of a walk per tree.

QuickScorer (Lucchese et al., SIGIR 2015) turned round. A row that a node sends right cannot reach a leaf on the node's
left; what remains of a tree's leaves after all its nodes were asked is a set of bits whose lowest one is the leaf
reached. For each column the sets that remain are looked up by the place of its value among the column's thresholds,
for all trees at once. LightGBM's own call walks tree by tree, where nearly every step is mispredicted: some 20 ns each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
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
ROWS, GROUP_TREES = 512, 256
"""Rows and trees that are worked on at a time: enough to be worth the call, few enough to stay in the cache."""
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
        nodes = _Nodes.of(trees, words, bits)
        if nodes is None or nodes.bytes() > MOST_BYTES:
            return None
        values, outputs = nodes.values, booster.num_model_per_iteration()
        size = outputs * max(1, GROUP_TREES // outputs)
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
        if len(X) <= ROWS:
            return self._sums(X)
        return np.concatenate(list(_threads().map(self._sums, np.array_split(X, -(-len(X) // ROWS)))))

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


@cache
def _threads() -> ThreadPoolExecutor:
    """Give the threads that parts of the rows are worked on in; NumPy's loops leave the interpreter's lock."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="trees")


os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not follow into a child


@dataclass(frozen=True)
class _Nodes:
    """The nodes of all trees, side by side.

    Attributes
    ----------
    trees, words, bits
        Number of trees, of words for each, and of leaves for each word.
    values
        (trees, words × bits) leaf values, each tree's from left to right.
    tree, feature, coded, threshold, nan_left
        (nodes,) the tree that a node is of, what it asks, and whether NaN goes left; a coded node's threshold is the
        number of its set of codes in its tree.
    kept
        (nodes, words) the leaves that remain when a row goes right.
    codes
        By number of a coded node, the words of 32 bits that hold the codes that go left.
    """

    trees: int
    words: int
    bits: int
    values: Array
    tree: NDArray[np.intp]
    feature: NDArray[np.intp]
    coded: NDArray[np.bool_]
    threshold: Array
    nan_left: NDArray[np.bool_]
    kept: Bits
    codes: dict[int, list[int]]

    @classmethod
    def of(cls, trees: list[dict[str, str]], words: int, bits: int) -> Self | None:
        """Read LightGBM's lines about each tree; None for a kind of node that is not known here."""
        leaves = np.array([int(tree["num_leaves"]) for tree in trees])
        sizes = leaves - 1
        split = [tree for tree, size in zip(trees, sizes, strict=True) if size]
        left, right, feature, kind = (
            np.fromstring(" ".join(tree[name] for tree in split), dtype=np.intp, sep=" ")
            for name in ("left_child", "right_child", "split_feature", "decision_type")
        )
        threshold = np.fromstring(" ".join(tree["threshold"] for tree in split), sep=" ")
        coded, missing = (kind & CATEGORICAL) > 0, kind & MISSING
        if not np.isin(missing, (NAN_IS_MISSING, NONE_IS_MISSING)).all() or set(feature[coded]) & set(feature[~coded]):
            return None
        owner = np.repeat(np.arange(len(trees)), sizes)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        begin, middle, order = _spans(len(trees), owner, place, left, right)
        flat = np.fromstring(" ".join(tree["leaf_value"] for tree in trees), sep=" ")
        values = np.zeros((len(trees), words * bits))
        ends = np.cumsum(leaves)
        for number, (end, size) in enumerate(zip(ends.tolist(), leaves.tolist(), strict=True)):
            values[number, :size] = flat[end - size : end][order[number, :size]]
        codes = {}
        for node in np.flatnonzero(coded).tolist():
            tree, which = trees[owner[node]], int(threshold[node])
            bounds = tree["cat_boundaries"].split()
            codes[node] = [int(w) for w in tree["cat_threshold"].split()[int(bounds[which]) : int(bounds[which + 1])]]
        nan_left = np.where(missing == NAN_IS_MISSING, (kind & DEFAULT_LEFT) > 0, threshold >= 0.0) & ~coded
        kept = _without(begin, middle, words, bits)
        return cls(len(trees), words, bits, values, owner, feature, coded, threshold, nan_left, kept, codes)

    def bytes(self) -> int:
        """Give the size of the tables."""
        ranks = sum(self._ranks(np.flatnonzero(self.feature == feature)) for feature in np.unique(self.feature))
        return ranks * self.trees * self.words * self.bits // 8

    def columns(self) -> Iterator[tuple[_Column, Bits]]:
        """Give each column that is asked with its sets (ranks, trees, words)."""
        for feature in np.unique(self.feature).tolist():
            asked = np.flatnonzero(self.feature == feature)
            sets = np.full((self._ranks(asked), self.trees, self.words), _whole(self.bits))
            yield (self._coded if self.coded[asked[0]] else self._ordered)(feature, asked, sets)

    def _ranks(self, asked: NDArray[np.intp]) -> int:
        if self.coded[asked[0]]:
            return 32 * max(len(self.codes[node]) for node in asked.tolist()) + 1
        return len(np.unique(self.threshold[asked])) + 2

    def _ordered(self, feature: int, asked: NDArray[np.intp], sets: Bits) -> tuple[_Column, Bits]:
        thresholds, rank = np.unique(self.threshold[asked], return_inverse=True)
        trees, kept = self.tree[asked], self.kept[asked]
        right = ~self.nan_left[asked]
        for word in range(self.words):
            np.bitwise_and.at(sets[:, :, word], (rank + 1, trees), kept[:, word])
            np.bitwise_and.at(sets[-1, :, word], trees[right], kept[right, word])
        np.bitwise_and.accumulate(sets[:-1], axis=0, out=sets[:-1])
        return _Column(feature, thresholds, len(sets)), sets

    def _coded(self, feature: int, asked: NDArray[np.intp], sets: Bits) -> tuple[_Column, Bits]:
        for node in asked.tolist():
            right = np.ones(len(sets), dtype=bool)
            bits = np.unpackbits(np.array(self.codes[node], dtype="<u4").view(np.uint8), bitorder="little")
            right[: len(bits)] = bits == 0
            sets[right, self.tree[node]] &= self.kept[node]
        return _Column(feature, None, len(sets)), sets


def _spans(
    trees: int, owner: NDArray[np.intp], place: NDArray[np.intp], left: NDArray[np.intp], right: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Give where each node's leaves begin and where those on its right do, and the leaves (trees, …) from the left.

    Children are numbers of nodes of the same tree, larger than their parents', or, below 0, of leaves.
    """
    widest = int(place.max(initial=-1)) + 1
    node_at = np.full((trees, widest), -1)
    node_at[owner, place] = np.arange(len(owner))
    count, begin, middle = np.ones(len(owner), dtype=np.intp), np.zeros(len(owner), dtype=np.intp), left.copy()
    order = np.zeros((trees, widest + 1), dtype=np.intp)

    def leaves(nodes: NDArray[np.intp], child: NDArray[np.intp]) -> NDArray[np.intp]:
        inner = node_at[owner[nodes], np.maximum(child[nodes], 0)]
        return np.where(child[nodes] < 0, 1, count[inner])

    levels = [column[column >= 0] for column in node_at.T]
    for nodes in reversed(levels):
        count[nodes] = leaves(nodes, left) + leaves(nodes, right)
    for nodes in levels:
        middle[nodes] = begin[nodes] + leaves(nodes, left)
        for child, start in ((left[nodes], begin[nodes]), (right[nodes], middle[nodes])):
            leaf = child < 0
            order[owner[nodes][leaf], start[leaf]] = ~child[leaf]
            begin[node_at[owner[nodes][~leaf], child[~leaf]]] = start[~leaf]
    return begin, middle, order


def _without(begin: NDArray[np.intp], end: NDArray[np.intp], words: int, bits: int) -> Bits:
    """Give (n, words) the sets without the leaves from ``begin`` to ``end``."""
    return (_first(begin, words, bits) | ~_first(end, words, bits)).astype(f"u{bits // 8}")


def _first(leaves: NDArray[np.intp], words: int, bits: int) -> NDArray[np.uint64]:
    """Give (n, words) the sets of so many leaves from the left."""
    count = np.clip(leaves[:, None] - np.arange(words) * bits, 0, bits).astype(np.uint64)
    some = np.uint64(2**64 - 1) >> (np.uint64(64) - np.maximum(count, np.uint64(1)))
    return np.where(count > 0, some, np.uint64(0))
