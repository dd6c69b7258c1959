"""Columns that grow with time, such as order numbers and epochs: their next values are never those of training.

They are compared by the gaps between their sorted values, in units of the median gap: neither the level nor how many
of the rows are seen changes these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FOLLOWS_TIME = 0.95
"""Rank correlation with the time of the rows from which a column is said to grow with it."""
SPREAD = 3.0
"""Numbers without a time column grow if all differ and their range is at most so many times the rows they are of."""
FEWEST = 50
"""Values below which nothing is said to grow."""
EDGES = (0.01, 100.0)
"""Gaps below and above these, in units of the median gap, are odd."""
STUCK = 0.5
"""Share of the rows above which one value is no longer a growing one."""
LABELS = ("gaps far below the usual", "usual gaps", "gaps far above the usual", "one repeated value")


def grows(values: Array, time: Array | None, rows: float) -> bool:
    """Tell whether a column of numbers grows with time.

    Parameters
    ----------
    values
        (n,) numbers, NaN where missing.
    time
        (n,) moments as numbers, NaN where missing; None: rows have no time.
    rows
        Rows of the source that these stand for.
    """
    import numpy as np

    given = np.isfinite(values)
    if time is not None:
        given &= np.isfinite(time)
    found = values[given]
    if len(found) < FEWEST:
        return False
    if time is not None:
        moments = time[given]
        if len(np.unique(moments)) < 3 or len(np.unique(found)) < 3:
            return False
        return float(np.corrcoef(_ranks(found), _ranks(moments))[0, 1]) >= FOLLOWS_TIME
    if not (found == np.floor(found)).all() or len(np.unique(found)) < len(found):
        return False
    return float(found.max() - found.min()) < SPREAD * max(rows, len(found))


def gap_counts(values: Array) -> Array:
    """Return how many gaps between sorted values are far below, about and far above the median one, and repeats.

    Returns
    -------
    ndarray
        (4,); the last is how often one value repeats, 0 unless it makes more than ``STUCK`` of the values.
    """
    import numpy as np

    distinct, times = np.unique(values[np.isfinite(values)], return_counts=True)
    counts = np.zeros(4)
    if len(distinct) > 2:
        gaps = np.diff(distinct)
        counts[:3] = np.bincount(np.searchsorted(EDGES, gaps / np.median(gaps)), minlength=3)
    if len(times) and times.max() > max(1, STUCK * times.sum()):
        counts[3] = times.max() - 1
    return counts


def _ranks(values: Array) -> Array:
    """Return mean ranks: equal values share one."""
    import numpy as np

    _, index, times = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(times) - (times - 1) / 2)[index])
