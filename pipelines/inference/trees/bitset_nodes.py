"""The nodes of a booster's trees as the sets of leaves that each leaves over, for the look-up tables of ``masks``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bits = NDArray[np.unsignedinteger[Any]]
CATEGORICAL, DEFAULT_LEFT, MISSING, NAN_IS_MISSING, NONE_IS_MISSING = 1, 2, 12, 8, 0
"""Bits of LightGBM's ``decision_type``."""
ZERO = float(np.float32(1e-35))
"""Largest magnitude that LightGBM takes for 0 when it predicts a row."""


class BitsetColumn(NamedTuple):
    """One column's cells by rank among ``thresholds``, or by code; the last of the ``ranks`` is for NaN.

    ``tiny`` says that a threshold is as near to 0 as cells may be that count as 0.
    """

    position: int
    thresholds: Array | None
    ranks: int
    tiny: bool = False


@dataclass(frozen=True)
class BitsetNodes:
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
        position = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        begin, middle, order = _spans(len(trees), owner, position, left, right)
        flat = np.fromstring(" ".join(tree["leaf_value"] for tree in trees), sep=" ")
        values = np.zeros((len(trees), words * bits))
        ends = np.cumsum(leaves)
        for number, (end, size) in enumerate(zip(ends.tolist(), leaves.tolist(), strict=True)):
            values[number, :size] = flat[end - size : end][order[number, :size]]
        bounds, sets = (
            {number: [int(word) for word in tree[name].split()] for number, tree in enumerate(trees) if name in tree}
            for name in ("cat_boundaries", "cat_threshold")
        )
        codes = {}
        for node in np.flatnonzero(coded).tolist():
            number, which = owner[node], int(threshold[node])
            codes[node] = sets[number][bounds[number][which] : bounds[number][which + 1]]
        nan_left = np.where(missing == NAN_IS_MISSING, (kind & DEFAULT_LEFT) > 0, threshold >= 0.0) & ~coded
        kept = _without(begin, middle, words, bits)
        return cls(len(trees), words, bits, values, owner, feature, coded, threshold, nan_left, kept, codes)

    def bytes(self) -> int:
        """Return the size of the tables."""
        ranks = sum(self._ranks(np.flatnonzero(self.feature == feature)) for feature in np.unique(self.feature))
        return ranks * self.trees * self.words * self.bits // 8

    def columns(self) -> Iterator[tuple[BitsetColumn, Bits]]:
        """Yield each column that is asked with its sets (ranks, trees, words)."""
        for feature in np.unique(self.feature).tolist():
            asked = np.flatnonzero(self.feature == feature)
            sets = np.full((self._ranks(asked), self.trees, self.words), whole_word(self.bits))
            yield (self._coded if self.coded[asked[0]] else self._ordered)(feature, asked, sets)

    def _ranks(self, asked: NDArray[np.intp]) -> int:
        if self.coded[asked[0]]:
            return 32 * max(len(self.codes[node]) for node in asked.tolist()) + 1
        return len(np.unique(self.threshold[asked])) + 2

    def _ordered(self, feature: int, asked: NDArray[np.intp], sets: Bits) -> tuple[BitsetColumn, Bits]:
        thresholds, rank = np.unique(self.threshold[asked], return_inverse=True)
        trees, kept = self.tree[asked], self.kept[asked]
        right = ~self.nan_left[asked]
        for word in range(self.words):
            np.bitwise_and.at(sets[:, :, word], (rank + 1, trees), kept[:, word])
            np.bitwise_and.at(sets[-1, :, word], trees[right], kept[right, word])
        np.bitwise_and.accumulate(sets[:-1], axis=0, out=sets[:-1])
        return BitsetColumn(feature, thresholds, len(sets), bool((np.abs(thresholds) <= ZERO).any())), sets

    def _coded(self, feature: int, asked: NDArray[np.intp], sets: Bits) -> tuple[BitsetColumn, Bits]:
        for node in asked.tolist():
            right = np.ones(len(sets), dtype=bool)
            bits = np.unpackbits(np.array(self.codes[node], dtype="<u4").view(np.uint8), bitorder="little")
            right[: len(bits)] = bits == 0
            sets[right, self.tree[node]] &= self.kept[node]
        return BitsetColumn(feature, None, len(sets)), sets


def _spans(
    trees: int, owner: NDArray[np.intp], position: NDArray[np.intp], left: NDArray[np.intp], right: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return where each node's leaves begin and where those on its right do, and the leaves (trees, …) from the left.

    Children are numbers of nodes of the same tree, larger than their parents', or, below 0, of leaves.
    """
    widest = int(position.max(initial=-1)) + 1
    node_at = np.full((trees, widest), -1)
    node_at[owner, position] = np.arange(len(owner))
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
    """Return (n, words) the sets without the leaves from ``begin`` to ``end``."""
    return (_first(begin, words, bits) | ~_first(end, words, bits)).astype(f"u{bits // 8}")


def _first(leaves: NDArray[np.intp], words: int, bits: int) -> NDArray[np.uint64]:
    """Return (n, words) the sets of so many leaves from the left."""
    count = np.clip(leaves[:, None] - np.arange(words) * bits, 0, bits).astype(np.uint64)
    some = np.uint64(2**64 - 1) >> (np.uint64(64) - np.maximum(count, np.uint64(1)))
    return np.where(count > 0, some, np.uint64(0))


def whole_word(bits: int) -> Any:
    """Return the word of which no leaf is gone."""
    return np.array(2**bits - 1, dtype=f"u{bits // 8}")[()]
