"""Checks of predictions: not finite, no probabilities, all alike, or right because one column reveals the target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError, GateError
from pipelines.metrics import METRICS

Array = NDArray[np.float64]
NEARLY_PERFECT = 0.01
"""Share of the baseline's error that is left."""
LEAST_ROWS = 50
"""Rows without which a perfect score of one column may be luck; training rows were checked before (split)."""
CARRIES = 0.8
"""Share of the improvement over the baseline that is lost with one column."""
SUM_TOLERANCE = 1e-6
LOOK = "look at the members in ensemble's report.json; leave the family at fault out of TuneSpec.families"


def check_finite(y_pred: Array) -> None:
    """Refuse predictions that are not finite.

    Raises
    ------
    GateError
        Says in how many rows.
    """
    flat = y_pred.reshape(len(y_pred), -1)
    bad = ~np.isfinite(flat).all(axis=1)
    if bad.any():
        raise GateError(
            "the model's predictions are not finite",
            where="sealed rows",
            seen=f"{int(bad.sum())} of {len(y_pred)} rows",
            expected="finite numbers",
            cure=LOOK,
        )


def check_predictions(y_pred: Array) -> None:
    """Refuse predictions that are not finite, or are no probabilities.

    Raises
    ------
    GateError
        Says in how many rows.
    """
    check_finite(y_pred)
    if y_pred.ndim < 2:
        return
    flat = y_pred.reshape(len(y_pred), -1)
    outside = (flat < -SUM_TOLERANCE).any(axis=1) | (np.abs(flat.sum(axis=1) - 1.0) > SUM_TOLERANCE)
    if outside.any():
        raise GateError(
            "the model's predictions are not probabilities",
            where="sealed rows",
            seen=f"{int(outside.sum())} of {len(y_pred)} rows",
            expected="numbers from 0 to 1 that add up to 1",
            cure=LOOK,
        )


def constant(y_pred: Array) -> list[str]:
    """Return a reason if the predictions of all rows are equal, else an empty list."""
    alike = len(y_pred) > 1 and not np.ptp(y_pred.reshape(len(y_pred), -1), axis=0).any()
    return ["its predictions are the same for every row"] if alike else []


def nearly_perfect(metric: str, score: float, baseline: float) -> bool:
    """Whether hardly anything of the baseline's error is left."""
    best = METRICS[metric].optimum
    return abs(score - best) <= NEARLY_PERFECT * abs(baseline - best)


def check_leak(
    metric: str,
    score: float,
    baseline: float,
    importance: Iterable[dict[str, Any]],
    alone: Mapping[str, float],
    allowed: Iterable[str],
    rows: int = LEAST_ROWS,
) -> list[str]:
    """Refuse a nearly perfect score that hangs on a single column; on few ``rows`` name that column only.

    Parameters
    ----------
    importance
        Per column what the score loses when it is shuffled.
    alone
        Per column what is left of the score when all others are.

    Raises
    ------
    GateError
        Names the column.
    """
    if not nearly_perfect(metric, score, baseline):
        return []
    known = set(allowed)
    carriers = [
        entry["column"]
        for entry in importance
        if entry["column"] not in known
        and (
            entry["loss"] >= CARRIES * abs(score - baseline)
            or nearly_perfect(metric, alone.get(entry["column"], baseline), baseline)
        )
    ]
    if rows < LEAST_ROWS:
        return [f"whether {name} reveals the target ({rows} of {LEAST_ROWS} rows needed)" for name in carriers]
    if carriers:
        raise GateError(
            "one column reveals the target",
            where=", ".join(carriers),
            seen=f"{metric} {score:.6g}, which this column carries alone",
            expected="a score that several columns carry",
            cure="name the column in ModelSpec.drop, or, if it is known before the target is, in "
            "EvaluateSpec.leaks_allowed",
        )
    return []


def check_defined(metric: str, score: float, truth: Array) -> None:
    """Refuse rows on which the metric is not defined.

    Raises
    ------
    DataError
        Says why.
    """
    if not np.isfinite(score):
        raise DataError(
            f"{metric} is not defined on the sealed rows",
            where="split, sealed/",
            seen=f"{len(truth)} rows, all of one class" if len(np.unique(truth)) < 2 else f"{metric} = {score}",
            expected="rows of both classes",
            cure="seal more rows, or judge by log_loss",
        )
