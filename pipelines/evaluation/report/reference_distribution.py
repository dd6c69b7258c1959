"""How the training rows were distributed: what monitoring compares live traffic with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS = 10
MAX_CATEGORIES = 50
PREDICTION = "(prediction)"
"""Entry of the predictions for the sealed rows; no column has this name."""


def reference(rows: pd.DataFrame, columns: list[str]) -> dict[str, dict[str, Any]]:
    """Describe each column by shares of all rows; what the shares leave of 1 is missing, or a rarer category.

    Shares are those of the whole source, not of a sample of it: rows count by ``_weight``, where they have one.

    A number: ``edges`` are the inner limits of bins that hold about equally many rows, ``shares`` has one entry more.
    A category: the most frequent ``categories`` and their shares.
    """
    described: dict[str, dict[str, Any]] = {}
    weight = rows["_weight"].to_numpy(np.float64) if "_weight" in rows else np.ones(len(rows))
    for name in columns:
        values = rows[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            continue
        if pd.api.types.is_numeric_dtype(values):
            described[name] = numbers(values.to_numpy(dtype=np.float64), weight=weight)
        else:
            counts = pd.Series(weight).groupby(values.to_numpy(dtype=object)).sum().sort_values(ascending=False)
            shares = counts.head(MAX_CATEGORIES) / max(weight.sum(), 1e-300)
            described[name] = {
                "kind": "category",
                "categories": [str(category) for category in shares.index],
                "shares": [float(share) for share in shares],
            }
    return described


def numbers(
    values: NDArray[np.float64], kind: str = "number", weight: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Describe numbers by bins between the deciles of the rows, with the bins' shares of the weight."""
    weight = np.ones(len(values)) if weight is None else weight
    given = np.isfinite(values)
    finite = values[given]
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1])) if len(finite) else np.empty(0)
    counts = np.bincount(np.searchsorted(edges, finite, side="right"), weight[given], minlength=len(edges) + 1)
    shares = counts / max(weight.sum(), 1e-300)
    return {"kind": kind, "edges": [float(edge) for edge in edges], "shares": [float(share) for share in shares]}


def predictions(y_pred: NDArray[np.float64], classes: list[str]) -> dict[str, Any]:
    """Describe the predictions: the values, the probability of class 1, or the shares of predicted classes."""
    if not classes:
        return numbers(y_pred, "prediction")
    if len(classes) == 2:
        return numbers(y_pred[:, 1], "prediction")
    counts = np.bincount(y_pred.argmax(axis=1), minlength=len(classes))
    shares = [float(count) for count in counts / max(1, len(y_pred))]
    return {"kind": "predicted_class", "categories": classes, "shares": shares}
