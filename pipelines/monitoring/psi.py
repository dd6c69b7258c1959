"""Population stability index of one column against its training reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

FLOOR = 1e-4
"""Smallest share that enters the logarithm: an empty bin is rare, not impossible."""

Shares = npt.NDArray[np.float64]


def stability_index(expected: Shares, actual: Shares) -> float:
    """Return Σ (a − e) · ln(a / e) over the bins of a column.

    The index is the symmetrised Kullback-Leibler divergence of the two binned distributions (N. Siddiqi, Credit Risk
    Scorecards, Wiley 2006, ch. 8; B. Yurdakul, Statistical Properties of Population Stability Index, 2018). The usual
    reading: below 0.1 stable, 0.1 to 0.2 moderate, above 0.2 shifted.

    Parameters
    ----------
    expected, actual
        Shares of the same bins; each at least ``FLOOR`` before the logarithm.
    """
    e = np.maximum(np.asarray(expected, dtype=np.float64), FLOOR)
    a = np.maximum(np.asarray(actual, dtype=np.float64), FLOOR)
    return float(np.sum((a - e) * np.log(a / e)))


def column_index(reference: Mapping[str, Any], values: pd.Series) -> float:
    """Return the index of logged ``values`` against the reference of their column.

    Parameters
    ----------
    reference
        ``{"edges", "shares"}`` of numbers, with the inner limits of the bins and so one more share than edges, or
        ``{"categories", "shares"}``. What is in no listed bin (missing values, unseen categories) forms one more bin,
        whose expected share is what the listed ones leave of 1.
    values
        Clean values: numbers with NaN, or texts with missing.
    """
    listed = np.asarray(reference["shares"], dtype=np.float64)
    if "edges" in reference:
        counts = _count_numbers(np.asarray(reference["edges"], dtype=np.float64), values)
    else:
        found = values.dropna().astype(str).value_counts()
        counts = np.asarray([found.get(str(category), 0) for category in reference["categories"]], dtype=np.float64)
    actual = counts / max(len(values), 1)
    rest = max(0.0, 1.0 - float(listed.sum())), max(0.0, 1.0 - float(actual.sum()))
    return stability_index(np.append(listed, rest[0]), np.append(actual, rest[1]))


def _count_numbers(edges: Shares, values: pd.Series) -> Shares:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    bins = np.searchsorted(edges, numbers[np.isfinite(numbers)], side="right")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.float64)
