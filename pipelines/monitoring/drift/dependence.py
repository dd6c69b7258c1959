"""How many independent rows a window is worth: neighbours in traffic are often alike, and so are days.

The design effect is the variance of bin counts over that of independent rows (Kish 1965): within windows by
consecutive blocks, between past windows by successive differences, which a slow trend leaves small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
BLOCKS = 8
FEWEST = 5
"""Past windows from which the variance between windows is estimated."""


def within(codes: npt.NDArray[np.intp], bins: int) -> float:
    """Return the design effect of a window's rows, in the order they came, at least 1.

    Parameters
    ----------
    codes
        (n,) the bin of each row.
    """
    n = len(codes)
    block = np.arange(n) * BLOCKS // max(n, 1)
    table = np.bincount(block * bins + codes, minlength=BLOCKS * bins).reshape(BLOCKS, bins).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    if n < BLOCKS or table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    chi_square = float(((table - expected) ** 2 / expected).sum())
    return max(1.0, chi_square / ((BLOCKS - 1) * (table.shape[1] - 1)))


def between(counts: Sequence[Array]) -> float:
    """Return the variance of a past window's shares beyond that of its rows, in units of 1 / row; at least 0.

    Parameters
    ----------
    counts
        (bins,) of past windows, oldest first, in the same bins.
    """
    if len(counts) < FEWEST:
        return 0.0
    table = np.asarray(counts)
    table = table[:, table.sum(axis=0) > 0]
    n = table.sum(axis=1)
    if table.shape[1] < 2 or not (n > 0).all():
        return 0.0
    shares, pooled = table / n[:, None], table.sum(axis=0) / n.sum()
    each = (np.diff(shares, axis=0) ** 2 / pooled).sum(axis=1) / (table.shape[1] - 1)
    return max(0.0, float((each - (1.0 / n[1:] + 1.0 / n[:-1])).mean() / 2.0))


def independent_rows(rows: int, own: float, past: Sequence[float], spread: float) -> float:
    """Return the independent rows that a window is worth.

    Parameters
    ----------
    own, past
        Design effects within this window and within past ones.
    spread
        As :func:`between` returns it.
    """
    usual = float(np.mean(past)) if past else 1.0
    return rows / max(own, usual, 1.0 + rows * spread)
