"""How many rows of each stratum are kept."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence


def allocate(sizes: Sequence[int], fraction: float, max_rows: int | None = None) -> list[int]:
    """Return how many rows of each stratum are kept, in proportion to its size, by largest remainder.

    Shares differ from those of the whole by at most one row; every stratum keeps a row, which adds rows only where
    its quota is below one.

    Parameters
    ----------
    sizes
        Rows per stratum, each ≥ 1, in an order that does not depend on the rows' order: ties go to the first.
    fraction
        Share kept, in (0, 1].
    max_rows
        Upper limit of the sum, at least ``len(sizes)``.

    Examples
    --------
    >>> allocate([70, 25, 5], 0.1)
    [7, 2, 1]
    >>> allocate([990, 1], 0.1)
    [99, 1]
    """
    total = sum(sizes)
    rows = _wanted(total, fraction, max_rows)
    quotas = [size * rows / total for size in sizes]
    kept = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(sizes)), key=lambda index: (kept[index] - quotas[index], -sizes[index], index))
    for index in by_remainder[: rows - sum(kept)]:
        kept[index] += 1
    return _within([max(1, count) for count in kept], max_rows)


def allocate_equally(sizes: Sequence[int], fraction: float, max_rows: int | None = None) -> list[int]:
    """Return the same number of rows for every stratum; what a small one lacks goes to the others.

    Examples
    --------
    >>> allocate_equally([70, 25, 5], 0.3)
    [13, 12, 5]
    """
    rows = max(_wanted(sum(sizes), fraction, max_rows), len(sizes))
    kept = [0] * len(sizes)
    left = len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: (sizes[index], -index)):
        kept[index] = min(sizes[index], rows // left)
        rows -= kept[index]
        left -= 1
    return kept


def allocate_named(
    sizes: Sequence[int], names: Sequence[str], given: Mapping[str, float], fraction: float, max_rows: int | None = None
) -> list[int]:
    """Return the rows of each stratum as set by name: a share if at most 1, else a number; ``fraction`` if not named.

    Examples
    --------
    >>> allocate_named([70, 25, 5], ["a", "b", "c"], {"c": 1.0, "b": 10}, 0.1)
    [7, 10, 5]
    """
    kept = []
    for size, name in zip(sizes, names, strict=True):
        wanted = given.get(name, fraction)
        kept.append(max(1, min(size, round(wanted * size if wanted <= 1 else wanted))))
    if max_rows is not None and sum(kept) > max_rows:
        return allocate(kept, 1.0, max_rows)
    return kept


def _wanted(total: int, fraction: float, max_rows: int | None) -> int:
    wanted = fraction * total if max_rows is None else min(fraction * total, max_rows)
    return max(1, round(wanted)) if total else 0


def _within(kept: list[int], max_rows: int | None) -> list[int]:
    """Reduce the largest strata until the limit is met."""
    excess = 0 if max_rows is None else sum(kept) - max_rows
    if excess <= 0:
        return kept
    largest = [(-count, index) for index, count in enumerate(kept)]
    heapq.heapify(largest)
    for _ in range(excess):
        count, index = largest[0]
        heapq.heapreplace(largest, (count + 1, index))
        kept[index] -= 1
    return kept
