"""Clusters and components described by the columns of the raw rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.inference.members.unsupervised import cluster_names

Array = NDArray[np.float64]
MOST_SHOWN = 8
"""Clusters, the largest, besides noise; or components, the first."""
MAX_ROWS = 50_000
"""More rows than this are thinned by a fixed step."""
MOST_TEXT = 40
LARGEST = 1e150
"""Numbers beyond are taken for this: their squares are still numbers."""
DAY = 86_400e6
"""Microseconds."""
MOST_LEVELS = 30
"""Values of a column that are distinguished, the most frequent; the others count as one."""


def profile(rows: pd.DataFrame, columns: Sequence[str], predicted: Array) -> dict[str, Any]:
    """Describe clusters (n,) or components (n, k) by the columns of the raw rows, the most informative column first.

    ``share`` of a column is the part of its variance that lies between clusters (the correlation ratio; of a category
    the part of its Gini impurity, Goodman and Kruskal's tau), or for components its largest correlation, squared. A
    cell is the mean of a number or a date in that cluster, or the most frequent value and how frequent it is; for a
    component the correlation, of a category without a sign.

    Returns
    -------
    dict
        ``heads``: cluster or component and, for clusters, its rows. ``others``: how many more clusters or components
        there are. ``columns``: ``column``, ``share``, ``cells``, one of each for every head. Columns that are the same
        in all rows are left out.
    """
    describe = _by_cluster if predicted.ndim == 1 else _by_component
    heads, entries = describe(rows[list(columns)], predicted)
    found = len(np.unique(predicted[predicted >= 0])) if predicted.ndim == 1 else predicted.shape[1]
    others = max(0, found - MOST_SHOWN)
    return {"heads": heads, "others": others, "columns": sorted(entries, key=lambda entry: -float(entry["share"]))}


def _by_cluster(rows: pd.DataFrame, predicted: Array) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    numbers, index, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    rows, index = rows[:: _step(rows)], index[:: _step(rows)]
    order = np.argsort(-counts, kind="stable")
    shown = [*[one for one in order if numbers[one] >= 0][:MOST_SHOWN], *np.flatnonzero(numbers < 0)]
    names = cluster_names(numbers)
    heads = [{"name": names[one], "rows": int(counts[one])} for one in shown]
    entries = []
    for column in rows:
        values = rows[column]
        encoded, levels = _encoded(values)
        finite = np.isfinite(encoded[:, 0])
        share = correlation_ratio(encoded[finite], index[finite])
        if share is not None:
            groups = [encoded[finite & (index == one)] for one in shown]
            cells = [_cell(values, levels, group) for group in groups]
            entries.append({"column": str(column), "share": share, "cells": cells})
    return heads, entries


def _by_component(rows: pd.DataFrame, predicted: Array) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows, shown = rows[:: _step(rows)], predicted[:: _step(rows), :MOST_SHOWN]
    heads = [{"name": str(component + 1), "rows": None} for component in range(shown.shape[1])]
    entries = []
    for column in rows:
        encoded, levels = _encoded(rows[column])
        finite = np.isfinite(encoded[:, 0])
        one, found = encoded[finite], shown[finite]
        if not len(one) or not np.ptp(one, axis=0).any():
            continue
        if levels is None:
            strengths = [_correlation(one[:, 0], part) for part in found.T]
            cells = [f"{value:+.2f}" for value in strengths]
        else:
            level = one.argmax(axis=1)
            strengths = [np.sqrt(correlation_ratio(part[:, None], level) or 0.0) for part in found.T]
            cells = [f"{value:.2f}" for value in strengths]
        entries.append({"column": str(column), "share": float(np.max(np.square(strengths))), "cells": cells})
    return heads, entries


def _step(rows: pd.DataFrame) -> int:
    return max(1, -(-len(rows) // MAX_ROWS))


def correlation_ratio(values: Array, group: NDArray[np.intp]) -> float | None:
    """Return the share of the variance of ``values`` (n, d), summed over columns, that lies between groups (n,).

    None where nothing varies.

    Notes
    -----
    Fisher, Statistical Methods for Research Workers (1925), section 45. Of indicator columns it is the tau of Goodman
    and Kruskal, Journal of the American Statistical Association 49 (1954), 732-764.
    """
    if not len(values):
        return None
    centered = values - values.mean(axis=0)
    total = float((centered**2).sum())
    if not np.ptp(values, axis=0).any() or not total > 0:
        return None
    _, index, counts = np.unique(group, return_inverse=True, return_counts=True)
    sums = np.column_stack([np.bincount(index, column) for column in centered.T])
    return float((sums**2 / counts[:, None]).sum() / total)


def _encoded(values: pd.Series) -> tuple[Array, list[str] | None]:
    """Return numbers (n, 1), NaN where missing, and None; or one column per value of a category, and these values."""
    if pd.api.types.is_datetime64_any_dtype(values):
        moments = values.dt.tz_convert("UTC").dt.tz_localize(None) if values.dt.tz is not None else values
        stamps = moments.to_numpy(dtype="datetime64[us]")
        return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / DAY)[:, None], None
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.clip(np.where(np.isfinite(numbers), numbers, np.nan), -LARGEST, LARGEST)[:, None], None
    texts = values.astype(object).where(values.notna(), "(missing)").map(str).str.slice(0, MOST_TEXT)
    levels = list(texts.value_counts().index[:MOST_LEVELS])
    codes = pd.Index(levels).get_indexer(pd.Index(texts))
    return np.eye(len(levels) + 1)[codes], levels  # a code of -1 is the last column, of all others


def _cell(values: pd.Series, levels: list[str] | None, group: Array) -> str:
    if not len(group):
        return "–"
    if levels is not None:
        shares = group.mean(axis=0)[:-1]  # the last are the others
        return f"{levels[int(shares.argmax())]} ({shares.max():.0%})"
    mean = float(group.mean())
    if pd.api.types.is_datetime64_any_dtype(values):
        return str(np.datetime64(round(mean), "D"))
    return f"{mean:,.0f}" if 1e4 <= abs(mean) < 1e9 else f"{mean:.4g}"


def _correlation(left: Array, right: Array) -> float:
    spread = float(left.std() * right.std())
    return float(((left - left.mean()) * (right - right.mean())).mean() / spread) if spread > 0 else 0.0
