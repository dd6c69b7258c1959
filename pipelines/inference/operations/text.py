"""Texts to numbers: hashed n-grams of words or characters, and lengths.

A text is lower-cased. A *word* is a run of characters other than ASCII controls, spaces and punctuation, U+0080 to
U+00BF, U+2000 to U+206F and U+3000 to U+303F (spaces and punctuation there).

The hash of a run of code points u0, u1, … is H = mix(sum of u_k · M^k modulo 2^64) with M = 0x9E3779B97F4A7C15 and mix
the finaliser of SplitMix64 (Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014, fig. 17).
A word has the hash of its characters; an n-gram of characters that of its n characters plus n, a word n-gram
mix(sum of H_k · M^k + n), H_k the hashes of its words. Its bucket is the hash modulo the number of buckets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from pipelines.inference.operations.base import Numbers, Operation, RowFunction, by_text, encoded, register

Hashes = npt.NDArray[np.uint64]
BLOCK = 1 << 20
"""Characters that are treated at once."""
_M = np.uint64(0x9E3779B97F4A7C15)
_SEPARATOR = np.ones(256, dtype=bool)
_SEPARATOR[[*range(ord("0"), ord("9") + 1), *range(ord("a"), ord("z") + 1), *range(ord("A"), ord("Z") + 1)]] = False
_SEPARATOR[0xC0:] = False


@register
@dataclass(frozen=True)
class HashedText(Operation):
    """How often a text has n-grams of each bucket: ``count``, ``binary`` or ``log`` (of 1 + count); 0 if missing.

    Parameters
    ----------
    of
        What n-grams are made of.
    shortest, longest
        Length of the n-grams.
    """

    kind: ClassVar[str] = "hashed_text"
    of: Literal["words", "characters"]
    shortest: int
    longest: int
    value: Literal["count", "binary", "log"]

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        values = encoded(columns[self.inputs[0]])
        table = self._values(self._counts(values.dictionary.to_pylist()))
        return [by_text(values, table[:, bucket], 0.0) for bucket in range(len(self.outputs))]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, nothing = self.inputs[0], (0.0,) * len(self.outputs)

        def one(row: Mapping[str, Any]) -> Sequence[float]:
            text = row[name]
            return nothing if text is None else self._values(self._counts([text]))[0].astype(np.float64).tolist()

        return one

    def _values(self, counts: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        if self.value == "binary":
            return counts > 0
        if self.value == "count":
            return counts
        return np.array([math.log1p(count) for count in range(int(counts.max(initial=0)) + 1)])[counts]

    def _counts(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Return (n, buckets) counts of the n-grams of each text."""
        buckets = len(self.outputs)
        counts = np.zeros((len(texts), buckets), dtype=np.int32)
        for first, points, owner in _blocks(texts):
            units = points.astype(np.uint64) if self.of == "characters" else np.empty(0, np.uint64)
            if self.of == "words":
                units, owner = _words(points, owner)
            last = int(owner.max(initial=-1)) + 1
            for length in range(self.shortest, self.longest + 1):
                if len(units) < length:
                    continue
                whole = owner[length - 1 :] == owner[: len(owner) - length + 1]
                hashes = _mix(_polynomial(units, length) + np.uint64(length))[whole]
                cell = owner[: len(whole)][whole] * buckets + (hashes % np.uint64(buckets)).astype(np.int64)
                found = np.bincount(cell, minlength=last * buckets).reshape(last, buckets)
                counts[first : first + last] += found.astype(np.int32)
        return counts


@register
@dataclass(frozen=True)
class TextLength(Operation):
    """Number of characters, then number of words of a text; NaN if missing."""

    kind: ClassVar[str] = "text_length"

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        values = encoded(columns[self.inputs[0]])
        lengths = _lengths(values.dictionary.to_pylist())
        return [by_text(values, of_text, math.nan) for of_text in lengths]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name = self.inputs[0]

        def one(row: Mapping[str, Any]) -> tuple[float, ...]:
            text = row[name]
            return (math.nan, math.nan) if text is None else tuple(float(part[0]) for part in _lengths([text]))

        return one


def _lengths(texts: Sequence[str]) -> tuple[Numbers, Numbers]:
    words = np.zeros(len(texts))
    for first, points, owner in _blocks(texts):
        found = np.bincount(_words(points, owner)[1])
        words[first : first + len(found)] += found
    return np.array([len(text) for text in texts], dtype=np.float64), words


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
    """Yield blocks of whole texts: number of the first, code points in lower case, and which text each belongs to."""
    lowered = [text.lower() for text in texts]
    lengths = np.array([len(text) for text in lowered], dtype=np.int64)
    block = np.cumsum(lengths) // BLOCK
    starts = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(texts)]
    for first, end in pairwise(starts):
        data = "".join(lowered[first:end]).encode("utf-32-le", "surrogatepass")
        yield first, np.frombuffer(data, dtype="<u4"), np.repeat(np.arange(end - first), lengths[first:end])


def _words(points: npt.NDArray[np.uint32], owner: npt.NDArray[np.int64]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the hash of every word and the text it stands in."""
    inside = ~_SEPARATOR[np.minimum(points, 255)]
    beyond = points > 255
    inside[beyond] = ~(_within(points[beyond], 0x2000, 0x206F) | _within(points[beyond], 0x3000, 0x303F))
    first = inside.copy()
    first[1:] &= ~inside[:-1] | (owner[1:] != owner[:-1])
    starts = np.flatnonzero(first)
    if not len(starts):
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    positions = np.flatnonzero(inside)
    word = np.cumsum(first)[positions] - 1
    terms = (
        points[positions].astype(np.uint64)
        * _powers(int((positions - starts[word]).max()) + 1)[positions - starts[word]]
    )
    return _mix(np.add.reduceat(terms, np.searchsorted(positions, starts))), owner[starts]


def _within(points: npt.NDArray[np.uint32], low: int, high: int) -> npt.NDArray[np.bool_]:
    return (points >= low) & (points <= high)


def _polynomial(units: Hashes, length: int) -> Hashes:
    """Return the polynomial of every run of ``length`` units."""
    total = np.zeros(len(units) - length + 1, dtype=np.uint64)
    for offset, power in enumerate(_powers(length)):
        total += units[offset : offset + len(total)] * power
    return total


def _powers(count: int) -> Hashes:
    return np.concatenate([np.ones(1, np.uint64), np.cumprod(np.full(count - 1, _M, dtype=np.uint64), dtype=np.uint64)])


def _mix(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
