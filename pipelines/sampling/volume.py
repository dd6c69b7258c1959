"""Strata by data volume: entities with few rows are separated from those with many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.sampling.scratch import Scratch

ENTITIES = 4_000_000
"""Entities counted at a time; with more, the hashes are processed in ranges."""
Counts = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]


def volume_classes(entities: Scratch, strata: int, path: Path) -> tuple[Scratch, list[str]]:
    """Put every row into the class of its entity's volume.

    Entities are ordered by their number of rows and cut where the rows of the smaller ones reach 1/strata, 2/strata, …
    of all; entities of equal volume share a class. Memory is bounded by ``ENTITIES``, whatever the number of rows.

    Parameters
    ----------
    entities
        Hash of every row's entity (uint64).
    strata
        Wanted number of classes; fewer where volumes do not differ.
    path
        File for the result.

    Returns
    -------
    classes : Scratch of uint8
    names : list of str
        Volumes of each class, such as ``1-12 rows``.
    """
    ranges = max(1, -(-entities.rows // ENTITIES))
    width = -(-(2**64) // ranges)
    bounds = [(part * width, min((part + 1) * width, 2**64) - 1) for part in range(ranges)]
    volumes: dict[int, int] = {}
    for first, last in bounds:
        sizes, counts = np.unique(_counted(entities, first, last)[1], return_counts=True)
        for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
            volumes[size] = volumes.get(size, 0) + count
    sizes = np.array(sorted(volumes), np.int64)
    class_of_size = _cut(np.array([size * volumes[size] for size in sizes.tolist()], np.float64), strata)
    classes = Scratch.zeros(path, "u1", entities.rows)
    found = np.memmap(path, np.uint8, "r+", shape=(entities.rows,)) if entities.rows else np.empty(0, np.uint8)
    for first, last in bounds:
        hashes, counts = _counted(entities, first, last)
        start = 0
        for part in entities.parts():
            inside = np.flatnonzero((part >= np.uint64(first)) & (part <= np.uint64(last)))
            volume = counts[np.searchsorted(hashes, part[inside])]
            found[start + inside] = class_of_size[np.searchsorted(sizes, volume)]
            start += len(part)
    names = []
    for one in np.unique(class_of_size):
        among = sizes[class_of_size == one]
        low, high = int(among[0]), int(among[-1])
        names.append(f"{low} rows" if low == high else f"{low}-{high} rows")
    return classes, names


def _cut(rows: npt.NDArray[np.float64], strata: int) -> npt.NDArray[np.uint8]:
    """Return the class of every volume by the middle of its rows among all rows; class numbers have no gaps."""
    middles = (np.cumsum(rows) - rows / 2) / max(1.0, float(rows.sum()))
    _, classes = np.unique((middles * strata).astype(np.uint8), return_inverse=True)
    return classes.astype(np.uint8)


def _counted(entities: Scratch, first: int, last: int) -> Counts:
    """Return the distinct hashes from ``first`` to ``last``, ascending, and the number of rows of each."""
    hashes, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    waiting: list[npt.NDArray[np.uint64]] = []
    for part in entities.parts():
        waiting.append(part[(part >= np.uint64(first)) & (part <= np.uint64(last))])
        if sum(map(len, waiting)) > max(len(hashes), 4 * len(part)):
            hashes, counts = _merged(hashes, counts, waiting)
            waiting = []
    return _merged(hashes, counts, waiting)


def _merged(
    hashes: npt.NDArray[np.uint64], counts: npt.NDArray[np.int64], waiting: list[npt.NDArray[np.uint64]]
) -> Counts:
    new, times = np.unique(np.concatenate([np.empty(0, np.uint64), *waiting]), return_counts=True)
    both, inverse = np.unique(np.concatenate([hashes, new]), return_inverse=True)
    sums = np.bincount(inverse, np.concatenate([counts, times]).astype(np.float64), minlength=len(both))
    return both, sums.astype(np.int64)
