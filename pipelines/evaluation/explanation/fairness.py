"""Rates by groups of people, and the ratio of the lowest to the highest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.explanation.slices import Slice

Array = NDArray[np.float64]


def fairness(task: str, truth: Array, y_pred: Array, groups: Iterable[Slice], least_rows: int) -> list[dict[str, Any]]:
    """Compare the groups of each column.

    Binary: ``selected`` (share with a positive prediction: demographic parity), ``found`` (true positive rate) and
    ``false_alarm`` (false positive rate; both together: equalised odds). Multiclass: ``right`` (accuracy). Regression:
    ``error`` (mean absolute error). As in Fairlearn, the ratio is the lowest rate over the highest; of error and
    false alarms that is the best group's over the worst's.

    Returns
    -------
    list of dict
        Per column ``column, groups: [{value, rows, counts, rates}], ratios: {rate: ratio or None}``. Groups of fewer
        than ``least_rows`` rows are listed and not in the ratios, nor are rates over fewer than that many rows.
    """
    found: dict[str, dict[str, Any]] = {}
    for one in groups:
        entry = found.setdefault(one.column, {"column": one.column, "groups": [], "ratios": {}})
        mask = one.mask
        rates, counts = _rates(task, truth[mask], y_pred[mask])
        entry["groups"].append({"value": one.value, "rows": int(mask.sum()), "counts": counts, "rates": rates})
    for entry in found.values():
        names = entry["groups"][0]["rates"]
        for name in names:
            comparable = [
                group["rates"][name]
                for group in entry["groups"]
                if group["rates"][name] is not None and group["counts"][name] >= least_rows
            ]
            entry["ratios"][name] = _ratio(comparable)
    return list(found.values())


def unfair(found: Iterable[dict[str, Any]], floor: float | None) -> list[str]:
    """Say which ratios lie below the floor."""
    if floor is None:
        return []
    return [
        f"the groups of {entry['column']} differ too much in {name}: ratio {ratio:.3g}, at least {floor:.3g} is asked"
        for entry in found
        for name, ratio in entry["ratios"].items()
        if ratio is not None and ratio < floor
    ]


def _rates(task: str, truth: Array, y_pred: Array) -> tuple[dict[str, float | None], dict[str, int]]:
    if task == "regression":
        return {"error": _mean(np.abs(truth - y_pred))}, {"error": len(truth)}
    predicted = y_pred.argmax(axis=1)
    if task == "multiclass":
        return {"right": _mean((predicted == truth).astype(np.float64))}, {"right": len(truth)}
    yes = (predicted == 1).astype(np.float64)
    parts = {"selected": yes, "found": yes[truth == 1], "false_alarm": yes[truth == 0]}
    return {name: _mean(part) for name, part in parts.items()}, {name: len(part) for name, part in parts.items()}


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None


def _ratio(rates: list[float]) -> float | None:
    if len(rates) < 2:
        return None
    return 1.0 if max(rates) == 0 else min(rates) / max(rates)
