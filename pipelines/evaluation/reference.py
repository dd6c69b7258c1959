"""How the training rows were distributed: what monitoring compares live traffic with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS = 10
MAX_CATEGORIES = 50
PREDICTION = "(prediction)"
"""Entry of the answers to the sealed rows; no column is called so."""


def reference(rows: pd.DataFrame, columns: list[str]) -> dict[str, dict[str, Any]]:
    """Describe each column by shares of all rows; what the shares leave of 1 is missing, or a rarer category.

    A number: ``edges`` are the inner limits of bins that hold about equally many rows, ``shares`` has one entry more.
    A category: the most frequent ``categories`` and their shares.
    """
    described: dict[str, dict[str, Any]] = {}
    for name in columns:
        values = rows[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            continue
        if pd.api.types.is_numeric_dtype(values):
            described[name] = numbers(values.to_numpy(dtype=np.float64))
        else:
            shares = values.value_counts(normalize=False).head(MAX_CATEGORIES) / max(1, len(values))
            described[name] = {
                "kind": "category",
                "categories": [str(category) for category in shares.index],
                "shares": [float(share) for share in shares],
            }
    return described


def numbers(values: NDArray[np.float64], kind: str = "number") -> dict[str, Any]:
    """Describe numbers by bins between their deciles."""
    seen = values[np.isfinite(values)]
    edges = np.unique(np.quantile(seen, np.linspace(0, 1, BINS + 1)[1:-1])) if len(seen) else np.empty(0)
    counts = np.bincount(np.searchsorted(edges, seen, side="right"), minlength=len(edges) + 1)
    shares = counts / max(1, len(values))
    return {"kind": kind, "edges": [float(edge) for edge in edges], "shares": [float(share) for share in shares]}


def predictions(answer: NDArray[np.float64], classes: list[str]) -> dict[str, Any]:
    """Describe the answers: the values, the probability of class 1, or the shares of predicted classes."""
    if not classes:
        return numbers(answer, "prediction")
    if len(classes) == 2:
        return numbers(answer[:, 1], "prediction")
    counts = np.bincount(answer.argmax(axis=1), minlength=len(classes))
    shares = [float(count) for count in counts / max(1, len(answer))]
    return {"kind": "predicted_class", "categories": classes, "shares": shares}
