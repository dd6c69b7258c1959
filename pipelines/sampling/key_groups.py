"""Rows of one declared key in several strata, or of several moments: all are in as soon as one of them is.

Else a row could be in without the newer row of its key that supersedes it. All rows of a key share one hash, so that a
key is in as likely as its likeliest row: all its rows have the least of their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.row_hash import among
from pipelines.sampling.numbers import log_clocks, unordered
from pipelines.sampling.scratch import Scratch
from pipelines.sampling.stratum_thresholds import Cutoffs

AT_ONCE = 4_000_000
"""Chosen rows whose keys are held at a time; with more, the hashes are processed in ranges."""
FILTER_BITS = 24
ALIKE = 1.01
"""Weights of strata within this factor count as equal, so that only keys near the cut-offs are checked."""

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Rows = tuple[Ints, Keys, Mask, Numbers]
"""Some unsealed rows: their indices, ascending, the hashes of their keys, whether they are in, and their weights."""


@dataclass(frozen=True)
class Torn:
    """Rows, in order, that are in because of another row of their key, or with the weight of another one."""

    indices: Ints
    weights: Numbers
    added: Mask
    """Rows that would be out."""

    @classmethod
    def none(cls) -> Torn:
        """Return no rows."""
        return cls(np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_))

    def put(self, start: int, inside: Mask, weights: Numbers) -> None:
        """Mark these rows as chosen and set their weights, in the arrays of a batch that begins at row ``start``."""
        first, last = np.searchsorted(self.indices, [start, start + len(inside)])
        some = self.indices[first:last] - start
        inside[some] = True
        weights[some] = self.weights[first:last]


def find_torn(
    cut: Cutoffs, weights: Numbers, sizes: Ints, kept: int, codes: Scratch, numbers: Scratch, keys: Scratch | None
) -> Torn:
    """Return the torn rows of a sample.

    Parameters
    ----------
    weights, sizes
        Weight and rows of every stratum, the first that of the sealed rows.
    kept
        Number of unsealed rows that are in.
    keys
        Hash of every row's key, where ``numbers`` are clocks; None: the numbers are the hashes.
    """
    strata = np.flatnonzero(sizes[1:]) + 1
    if cut.whole[strata].all() or (keys is None and len(strata) < 2):
        return Torn.none()
    bounds = cut.value[strata][~cut.whole[strata]]
    alike = weights[strata].max() <= ALIKE * weights[strata].min()
    low = bounds.min() if alike else np.uint64(0)
    high = np.uint64(2**64 - 1) if cut.whole[strata].any() else bounds.max()

    def parts() -> Iterator[Rows]:
        start = 0
        for values, part, hashes in zip(
            numbers.parts(), codes.parts(), (numbers if keys is None else keys).parts(), strict=True
        ):
            mine = part > 0
            if keys is None:
                mine &= (values >= low) & (values <= high)
            some = np.flatnonzero(mine)
            value, code, key = values[some], part[some], hashes[some]
            delays = None if keys is None else unordered(value) - log_clocks(key)
            yield start + some, key, cut.included(value, code), cut.weights(weights, code, delays)
            start += len(values)

    return torn_rows(parts, kept)


def torn_rows(parts: Callable[[], Iterator[Rows]], kept: int) -> Torn:
    """Find the rows whose key has rows that are in, and that are out themselves or have not the least weight.

    Parameters
    ----------
    parts
        Goes through the rows; may leave out rows that have the fate and the weight of all rows of their key.
    kept
        Number of rows that are in.
    """
    found, weights, added = [np.empty(0, np.int64)], [np.empty(0)], [np.empty(0, np.bool_)]
    ranges = max(1, -(-kept // AT_ONCE))
    width = np.uint64((2**64 - 1) // ranges + 1 if ranges > 1 else 2**64 - 1)
    for number in range(ranges):
        keys, least, mixed = _least_weights(_in_range(parts, number, ranges, width))
        if not len(keys):
            continue
        likely = np.zeros(1 << FILTER_BITS, np.bool_)
        likely[keys >> np.uint64(64 - FILTER_BITS)] = True
        for rows, key, inside, weight in _in_range(parts, number, ranges, width):
            some = np.flatnonzero(likely[key >> np.uint64(64 - FILTER_BITS)] & ~inside)
            some = some[among(key[some], keys)]
            others = np.flatnonzero(inside)
            others = others[among(key[others], mixed)]
            some = np.sort(np.concatenate([some, others]))
            wanted = least[np.searchsorted(keys, key[some])]
            changed = ~inside[some] | (weight[some] > wanted)
            found.append(rows[some][changed])
            weights.append(wanted[changed])
            added.append(~inside[some][changed])
    indices = np.concatenate(found)
    order = np.argsort(indices, kind="stable")
    return Torn(indices[order], np.concatenate(weights)[order], np.concatenate(added)[order])


def _in_range(parts: Callable[[], Iterator[Rows]], number: int, ranges: int, width: np.uint64) -> Iterator[Rows]:
    """Yield the rows whose hash lies in one of the ranges."""
    for rows in parts():
        if ranges == 1:
            yield rows
        else:
            mine = rows[1] // width == np.uint64(number)
            yield rows[0][mine], rows[1][mine], rows[2][mine], rows[3][mine]


def _least_weights(rows: Iterator[Rows]) -> tuple[Keys, Numbers, Keys]:
    """Return the keys of the chosen rows, ascending, the least weight of each, and the keys with several weights."""
    keys, weights = [np.empty(0, np.uint64)], [np.empty(0)]
    for _, key, inside, weight in rows:
        keys.append(key[inside])
        weights.append(weight[inside])
    key, weight = np.concatenate(keys), np.concatenate(weights)
    order = np.argsort(key)
    key, weight = key[order], weight[order]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.empty(0, np.int64)
    if not len(starts):
        return key, weight, key
    least = np.minimum.reduceat(weight, starts)
    return key[starts], least, key[starts][np.maximum.reduceat(weight, starts) > least]
