"""How the training rows were distributed: what monitoring compares live traffic with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.growing_columns import gap_counts, grows

BINS = 10
MAX_CATEGORIES = 50
PREDICTION = "(prediction)"
"""Entry of the predictions for the sealed rows; no column has this name."""


def reference(rows: pd.DataFrame, columns: list[str]) -> dict[str, dict[str, Any]]:
    """Describe each column by shares of all rows; what the shares leave of 1 is missing, or a rarer category.

    Shares are those of the whole source, not of a sample of it: rows count by ``_weight``, where they have one.

    A number: ``edges`` are the inner limits of bins that hold about equally many rows, ``shares`` has one entry more.
    A category: the most frequent ``categories`` and their shares. A number that grows with time (``growing``): the
    shares of :func:`gap_counts <pipelines.growing_columns.gap_counts>`. Each has ``missing``, a share, and ``rows``:
    how many rows of equal weight would be known as well.
    """
    described: dict[str, dict[str, Any]] = {}
    weight = rows["_weight"].to_numpy(np.float64) if "_weight" in rows else np.ones(len(rows))
    total = max(weight.sum(), 1e-300)
    known: dict[str, Any] = {"rows": round(float(total**2 / max((weight**2).sum(), 1e-300)))}
    time = _moments(rows)
    for name in columns:
        values = rows[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            continue
        known["missing"] = float(weight[values.isna().to_numpy()].sum() / total)
        if pd.api.types.is_numeric_dtype(values):
            found = values.to_numpy(dtype=np.float64)
            described[name] = numbers(found, weight=weight) | known
            if grows(found, time, total):
                gaps = gap_counts(found)
                described[name] |= {"kind": "growing", "gaps": [float(n) for n in gaps / max(gaps.sum(), 1.0)]}
        else:
            counts = pd.Series(weight).groupby(values.to_numpy(dtype=object)).sum().sort_values(ascending=False)
            shares = counts.head(MAX_CATEGORIES) / total
            described[name] = {
                "kind": "category",
                "categories": [str(category) for category in shares.index],
                "shares": [float(share) for share in shares],
                **known,
            }
    return described


def _moments(rows: pd.DataFrame) -> NDArray[np.float64] | None:
    """Return the rows' times in seconds, NaN where missing; None where they have none."""
    if "_time" not in rows or rows["_time"].isna().all():
        return None
    times = pd.to_datetime(rows["_time"], utc=True)
    seconds = (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return np.asarray(seconds, dtype=np.float64)


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
