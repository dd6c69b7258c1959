"""The bins of one column, as its training reference has them, and which bin each value is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.growing_columns import LABELS

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
MISSING, OTHER, REST = "missing", "other categories", "missing or other"


@dataclass(frozen=True)
class Bins:
    """Where the values of a column are counted.

    Parameters
    ----------
    kind
        ``number``, ``category``, ``growing``, ``prediction`` or ``predicted_class``.
    shares
        (bins,) the expected share of each bin, of training rows. The last ones are of what is in no listed bin:
        unseen categories and missing values; references of older versions have one bin for both.
    labels
        Names of the bins.
    rows
        Rows that the shares come from; None: not known.
    missing
        Share of missing values; None: not known.
    """

    kind: str
    shares: Array
    labels: tuple[str, ...]
    edges: Array | None
    categories: tuple[str, ...]
    rows: int | None
    missing: float | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Bins:
        """Read an entry of ``reference.json``."""
        kind, missing = str(entry["kind"]), entry.get("missing")
        known = (entry.get("rows"), missing)
        if kind == "growing":
            return cls(kind, np.asarray(entry["gaps"], dtype=np.float64), LABELS, None, (), *known)
        listed = np.asarray(entry["shares"], dtype=np.float64)
        rest = max(0.0, 1.0 - float(listed.sum()))
        edges = np.asarray(entry["edges"], dtype=np.float64) if "edges" in entry else None
        categories = tuple(map(str, entry.get("categories", ())))
        labels = _ranges(edges) if edges is not None else categories
        if missing is None or edges is not None:
            last = MISSING if edges is not None else REST
            return cls(kind, np.append(listed, rest), (*labels, last), edges, categories, *known)
        further = [max(0.0, rest - float(missing)), float(missing)]
        return cls(kind, np.append(listed, further), (*labels, OTHER, MISSING), edges, categories, *known)

    def codes(self, values: pd.Series) -> Codes:
        """Return the bin of each clean value, (n,); not of a growing column, whose values have none alone."""
        last = len(self.shares) - 1
        if self.edges is not None:
            numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
            found = np.searchsorted(self.edges, numbers, side="right")
            return np.where(np.isfinite(numbers), found, last)
        known = isinstance(values.dtype, pd.StringDtype)
        numbered, distinct = pd.factorize(values if known else values.astype(object).where(values.notna(), None))
        position = {category: number for number, category in enumerate(self.categories)}
        other = len(self.categories)
        bins = np.asarray([position.get(str(text), other) for text in distinct] + [last], dtype=np.intp)
        return bins[numbered]


def counts_of(codes: Codes, bins: int) -> Array:
    """Return how many codes are in each bin."""
    return np.bincount(codes, minlength=bins).astype(np.float64)


def _ranges(edges: Array) -> tuple[str, ...]:
    if not len(edges):
        return ("any number",)
    texts = [f"{edge:.4g}" for edge in edges]
    inner = [f"{low} to {high}" for low, high in pairwise(texts)]
    return (f"below {texts[0]}", *inner, f"{texts[-1]} and more")
