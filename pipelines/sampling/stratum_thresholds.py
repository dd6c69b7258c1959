"""The k-th smallest number of every stratum, found by counting, without sorting or holding the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.sampling.numbers import Numbers, unordered
from pipelines.sampling.scratch import Scratch

BITS = 20
"""Number of counters as a power of 2; twice as many as strata, if that is more."""
CANDIDATES = 1_000_000
"""Rows near the cut-offs up to which they are sorted instead of counted again."""

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Cutoffs:
    """Per stratum: rows below ``value`` are in, ``ties`` of the ``equal`` rows at it, and all rows where ``whole``."""

    value: Keys
    ties: Ints
    equal: Ints
    whole: npt.NDArray[np.bool_]

    @property
    def partial(self) -> npt.NDArray[np.bool_]:
        """Strata in which only some of the rows at the cut-off are in."""
        return np.asarray((self.ties > 0) & (self.ties < self.equal))

    def included(self, keys: Keys, strata: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        """Return a mask of the chosen rows without those at a partial cut-off, shape (n,)."""
        value = self.value[strata]
        inside = keys < value
        inside |= (keys == value) & (self.ties == self.equal)[strata]
        inside |= self.whole[strata]
        return np.asarray(inside)

    def weights(self, by_stratum: Numbers, strata: npt.NDArray[np.uint32], delays: Numbers | None = None) -> Numbers:
        """Return 1 / the inclusion probability of every row, shape (n,): that of its stratum, or of its clock's delay.

        Parameters
        ----------
        by_stratum
            Rows / rows that are in, of every stratum.
        delays
            -ln of every row's readiness, where numbers are clocks; strata that are whole, and sealed rows, have none.
        """
        weights = by_stratum[strata]
        if delays is None:
            return np.asarray(weights)
        clock = unordered(self.value)[strata]
        chance = -np.expm1(-np.exp(np.minimum(clock - delays, 50.0)))
        return np.where((strata == 0) | self.whole[strata], weights, 1.0 / np.maximum(chance, 1e-300))


def find_cutoffs(keys: Scratch, strata: Scratch, sizes: Ints, wanted: Ints, *, together: bool) -> Cutoffs:
    """Return for every stratum the number above which rows are left out.

    A range of numbers per stratum is halved again and again by counting the rows in its parts, until the rows left
    in all ranges are few enough to be sorted.

    Parameters
    ----------
    keys, strata
        Number (uint64) and stratum (uint32) of every row.
    sizes, wanted
        Rows of each stratum, and how many of them shall be in.
    together
        Rows of one number are all in or all out, whichever is nearer to what is wanted; at least one number is in.
    """
    count = len(sizes)
    open_ = np.flatnonzero(wanted < sizes)
    slot = np.full(count, len(open_), np.int64)
    slot[open_] = np.arange(len(open_))
    low, rank, inside = np.zeros(len(open_), np.uint64), wanted[open_].astype(np.int64), sizes[open_].astype(np.int64)
    below = np.zeros(len(open_), np.int64)
    bits = max(1, BITS - int(max(1, len(open_)) - 1).bit_length())
    width = 64
    while width and inside.sum() > CANDIDATES:
        step = min(bits, width)
        width -= step
        counts = _count(keys, strata, slot, low, width, step)
        upto = np.cumsum(counts, axis=1)
        part = np.minimum((upto <= rank[:, None]).sum(axis=1), (1 << step) - 1)
        rows = np.arange(len(open_))
        inside = counts[rows, part]
        passed = upto[rows, part] - inside
        below += passed
        rank -= passed
        low = low + (part.astype(np.uint64) << np.uint64(width))
    value, equal = low, inside
    if width and len(open_):
        value, equal, less = _sorted(keys, strata, slot, low, width, rank)
        below += less
        rank -= less
    if together:
        rank = np.where((2 * rank >= equal) | (below == 0), equal, 0)
    cut = Cutoffs(np.zeros(count, np.uint64), np.zeros(count, np.int64), np.zeros(count, np.int64), wanted >= sizes)
    cut.value[open_], cut.ties[open_], cut.equal[open_] = value, rank, equal
    # no tie is in, and no row equals a number of ties: said as nothing being equal
    cut.equal[cut.ties == 0] = -1
    return cut


def _count(keys: Scratch, strata: Scratch, slot: Ints, low: Keys, width: int, step: int) -> Ints:
    """Count the rows of every open stratum in each of ``2**step`` parts of its range, each ``2**width`` wide."""
    size = 1 << step
    counts = np.zeros(len(low) * size, np.int64)
    bottom = np.append(low, np.uint64(0))
    for values, codes in zip(keys.parts(), strata.parts(), strict=True):
        slots = slot[codes]
        part = values - bottom[slots]  # wraps around below the range, and is then beyond it
        part >>= np.uint64(width)
        indices = slots * size + np.minimum(part, np.uint64(size)).astype(np.int64)
        inside = (part < np.uint64(size)) & (slots < len(low))
        counts += np.bincount(indices[inside], minlength=len(counts))
    return counts.reshape(len(low), size)


def _sorted(keys: Scratch, strata: Scratch, slot: Ints, low: Keys, width: int, rank: Ints) -> tuple[Keys, Ints, Ints]:
    """Return the number at ``rank`` within each range, how many rows have it, and how many in the range are smaller."""
    found_slots, found_keys = [], []
    bottom = np.append(low, np.uint64(0))
    for values, codes in zip(keys.parts(), strata.parts(), strict=True):
        slots = slot[codes]
        inside = slots < len(low)
        if width < 64:
            inside &= ((values - bottom[slots]) >> np.uint64(width)) == 0
        found_slots.append(slots[inside])
        found_keys.append(values[inside])
    slots, values = np.concatenate(found_slots), np.concatenate(found_keys)
    order = np.lexsort((values, slots))
    slots, values = slots[order], values[order]
    starts = np.searchsorted(slots, np.arange(len(low)))
    value = values[starts + rank]
    new = np.flatnonzero(np.append(True, (slots[1:] != slots[:-1]) | (values[1:] != values[:-1])))
    run = np.searchsorted(new, starts + rank, side="right") - 1
    ends = np.append(new, len(values))
    return value, ends[run + 1] - new[run], new[run] - starts
