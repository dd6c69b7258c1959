"""Typed columns for families that want a matrix of finite numbers: what each column's adapter learns."""

from __future__ import annotations

import numpy as np

from pipelines.algorithms.base import Array, Params, TaskInfo
from pipelines.inference.members.linear import ColumnAdapter

MAX_WIDTH = 600
"""Columns of the design matrix; the knots and levels of each column shrink to keep below it."""
LARGEST = 1e150
"""Numbers beyond it count as this in means and deviations, whose sums of squares would leave the range of floats."""


def learn_adapters(params: Params, X: Array, shape: TaskInfo, most: int = MAX_WIDTH) -> list[ColumnAdapter]:
    """Learn, from training rows only, how each typed column enters the design matrix.

    Parameters
    ----------
    params
        ``numbers`` is pieces or straight; ``pieces`` and ``levels`` are the most intervals and codes of a column.
    most
        Columns that the design matrix may have, about.
    """
    fair = max(2, most // max(1, len(shape.kinds)))
    pieces, levels = min(int(params["pieces"]), fair), min(int(params["levels"]), fair)
    adapters = []
    for column, kind in enumerate(shape.kinds):
        values = X[:, column]
        if kind == "code":
            codes, counts = np.unique(values, return_counts=True)
            order = np.lexsort((codes, -counts))[:levels]
            frequent = sorted(int(code) for code in codes[order] if np.isfinite(code))
            adapters.append(ColumnAdapter(column, kind, levels=frequent))
            continue
        finite = values[np.isfinite(values)]
        if len(finite) == 0:
            continue
        bounded = np.clip(finite, -LARGEST, LARGEST)
        mean, scale = float(bounded.mean()), float(bounded.std())
        adapter = ColumnAdapter(
            column, kind, fill=float(np.median(finite)), mean=mean, scale=scale or 1.0, flag=len(finite) < len(values)
        )
        if params["numbers"] == "pieces":
            # Half by rank among the rows, half among the distinct values: a long tail behind many zeros gets knots too.
            distinct = np.unique(finite)
            by_row = np.quantile(finite, np.linspace(0.0, 1.0, pieces // 2 + 1))
            by_value = np.quantile(distinct, np.linspace(0.0, 1.0, pieces // 2 + 1))
            knots = np.unique(np.concatenate([by_row, by_value]))
            if len(knots) > 2:
                adapter.knots = [float(knot) for knot in knots]
        adapters.append(adapter)
    return adapters
