"""The population stability index: the distance of two distributions over the same bins.

The index is the symmetrised Kullback-Leibler divergence of the two binned distributions (N. Siddiqi, Credit Risk
Scorecards, Wiley 2006, ch. 8; B. Yurdakul, Statistical Properties of Population Stability Index, 2018). The usual
reading: below 0.1 stable, 0.1 to 0.2 moderate, above 0.2 shifted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FLOOR = 1e-4
"""Smallest share used in the logarithm: an empty bin is rare, not impossible."""


def stability_index(expected: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Return Σ (a − e) · ln(a / e) over the bins of a column.

    Parameters
    ----------
    expected, actual
        Shares of the same bins, shape (bins,); each at least ``FLOOR`` before the logarithm.
    """
    import numpy as np

    e = np.maximum(np.asarray(expected, dtype=np.float64), FLOOR)
    a = np.maximum(np.asarray(actual, dtype=np.float64), FLOOR)
    return float(np.sum((a - e) * np.log(a / e)))


def stability_of_counts(expected: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Return the index of row counts per bin, shape (bins,), with half a row added to each bin, for small tables."""
    import numpy as np

    e, a = (expected + 0.5) / (expected + 0.5).sum(), (actual + 0.5) / (actual + 0.5).sum()
    return float(((a - e) * np.log(a / e)).sum())
