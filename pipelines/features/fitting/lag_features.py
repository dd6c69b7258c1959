"""What was known of an entity at a time: values sorted by entity and time, and aggregates over slices of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.inference.operations.base import Numbers

Whole = npt.NDArray[np.int64]


class Past:
    """Values of entities sorted by entity, time and value, so that the order of the rows does not matter.

    Parameters
    ----------
    entity, time
        (m,) numbers of entities from 0, and microseconds since 1970.
    value, weight
        (m,) without NaN.
    """

    def __init__(self, entity: Whole, time: Whole, value: Numbers, weight: Numbers) -> None:
        self._moments = np.unique(time)
        rank = np.searchsorted(self._moments, time)
        order = np.lexsort((value, rank, entity))
        self._key = self._keys(entity, rank)[order]
        self.value, self.weight = value[order], weight[order]

    def _keys(self, entity: Whole, rank: Any) -> Whole:
        keys: Whole = entity * (len(self._moments) + 1) + rank
        return keys

    def slices(self, entity: Whole, since: Whole | None, upto: Whole) -> tuple[Whole, Whole]:
        """Return start and end of the slice of each query: its entity's values within the window.

        Parameters
        ----------
        entity
            (n,) numbers; -1 is nobody, whose slice is empty.
        since, upto
            (n,) microseconds; times after ``since`` (None: from the beginning) up to ``upto``, which counts.
        """
        first: Any = 0 if since is None else np.searchsorted(self._moments, since, side="right")
        last = np.searchsorted(self._moments, upto, side="right")
        low = np.searchsorted(self._key, self._keys(entity, first))
        high = np.searchsorted(self._key, self._keys(entity, last))
        return low, high

    def values_back(self, entity: Whole, upto: Whole, steps: int) -> Numbers:
        """Return the value ``steps`` back from ``upto``, 1 being the latest; NaN if there are fewer values."""
        low, high = self.slices(entity, None, upto)
        index = high - steps
        found = index >= low
        made = np.full(len(index), np.nan)
        made[found] = self.value[index[found]]
        return made

    def references(self, entity: Whole) -> tuple[Numbers, Numbers]:
        """Return the first value of the entity of every own value, and of every query (0 if it has none).

        Taken off before squares are summed: nothing later can change it, and it is of the size of the others.
        """
        start, end = self.slices(entity, None, np.full(len(entity), np.iinfo(np.int64).max))
        asked = np.zeros(len(entity))
        asked[start < end] = self.value[start[start < end]]
        owner = self._key // (len(self._moments) + 1)
        own = self.value[np.searchsorted(owner, owner)]
        return own, asked


def reduce_slices(values: Numbers, low: Whole, high: Whole, function: np.ufunc, empty: float) -> Numbers:
    """Reduce ``values[low:high]`` of every query with a ufunc such as ``np.add``; ``empty`` for empty slices.

    Slices are put together from runs of 1, 2, 4, … values, so a result depends on the values of its own slice alone, to
    the last bit: no running total over all rows, whose rounding would let every row have a part in every other. Takes
    log2 of the longest slice passes, and memory for two columns.
    """
    made = np.full(len(low), empty)
    index, left = low.copy(), high - low
    runs, size = values, 1
    while left.any():
        odd = np.flatnonzero(left & size)
        made[odd] = function(made[odd], runs[index[odd]])
        index[odd] += size
        left[odd] -= size
        runs = function(runs[:-size], runs[size:])
        size *= 2
    return made
