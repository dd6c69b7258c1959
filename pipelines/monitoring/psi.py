"""Population stability index of one column against its training reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.population_stability import stability_index

Shares = npt.NDArray[np.float64]


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
