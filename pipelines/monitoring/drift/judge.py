"""Judges one window of rows: by column the distance from training, how sure it is, and surges of odd cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.growing_columns import gap_counts
from pipelines.monitoring.drift import dependence, significance
from pipelines.monitoring.drift.bins import OTHER, Bins, counts_of

Codes = npt.NDArray[np.intp]
GROSS_P = 1e-6
"""A shift is beyond doubt below this p-value."""
GROSS_SURGE = 0.2
"""Further share of odd cells from which one window is enough."""
SURGE_TIMES = 2.0
"""A surge is at least so many times the share in training."""


@dataclass(frozen=True)
class Limits:
    """From which figures a column counts; see :class:`pipelines.monitoring.spec.MonitorSpec`."""

    threshold: float
    gross: float
    rate: float
    surge: float


@dataclass(frozen=True)
class Column:
    """One column of one window.

    Parameters
    ----------
    codes
        (n,) the bin of each row in the order of the log; of a growing column 1 where it is missing.
    values
        (n,) of a growing column.
    """

    bins: Bins
    codes: Codes
    values: npt.NDArray[np.float64] | None = None


def judge(
    columns: Mapping[str, Column], past: Sequence[Mapping[str, Any]], limits: Limits
) -> dict[str, dict[str, Any]]:
    """Return figures by column.

    Parameters
    ----------
    past
        Figures of earlier windows, oldest first: how much the model's own traffic varies.

    Returns
    -------
    dict
        By column ``psi``, ``js``, ``p`` (None where the distance is too small to matter), ``effect`` (the design
        effect), ``counts`` and ``bins`` (their names), ``n``; ``missing`` and ``unseen``, [now, then]; and what it
        ``shows``: ``drift``, ``nulls``, ``unseen``, each with whether it is gross.
    """
    figures: dict[str, dict[str, Any]] = {}
    p: dict[str, dict[str, float]] = {"drift": {}, "nulls": {}, "unseen": {}}
    gross: dict[str, set[str]] = {kind: set() for kind in p}
    for name, column in columns.items():
        figures[name], surges = _measure(name, column, [window[name] for window in past if name in window], limits)
        one = figures[name]
        p["drift"][name] = 1.0 if one["p"] is None else one["p"]
        if one["psi"] >= limits.gross and p["drift"][name] <= GROSS_P:
            gross["drift"].add(name)
        for kind, (now, then, chance) in surges.items():
            one["missing" if kind == "nulls" else "unseen"] = [now, then]
            matters = now - then >= limits.surge and now >= SURGE_TIMES * then
            p[kind][name] = chance if matters else 1.0
            if matters and now - then >= GROSS_SURGE and chance <= GROSS_P:
                gross[kind].add(name)
    for kind, values in p.items():
        for name in significance.discoveries(values, limits.rate):
            if values[name] < 1.0:
                figures[name]["shows"][kind] = name in gross[kind]
    return figures


def _measure(
    name: str, column: Column, past: Sequence[Mapping[str, Any]], limits: Limits
) -> tuple[dict[str, Any], dict[str, tuple[float, float, float]]]:
    """Return the figures of a column, and of each kind of odd cell the share now, in training, and its p-value."""
    bins, codes = column.bins, column.codes
    labels = list(bins.labels)
    alike = [one for one in past if one["bins"] == labels and "drift" not in one["shows"]]
    if column.values is not None:
        counts, own = gap_counts(column.values), 1.0
    else:
        counts, own = counts_of(codes, len(bins.shares)), dependence.within(codes, len(bins.shares))
    n = int(counts.sum())
    spread = dependence.between([np.asarray(one["counts"], dtype=np.float64) for one in alike])
    rows = dependence.independent_rows(n, own, [one["effect"] for one in alike], spread)
    actual = counts / max(n, 1)
    psi = float(significance.psi(bins.shares, actual)) if n else 0.0
    chance = None
    js = float(significance.jensen_shannon(bins.shares, actual)) if n else 0.0
    if psi >= limits.threshold:
        chance = max(significance.p_values(bins.shares, actual, rows, bins.rows, name))
    figures: dict[str, Any] = {
        "psi": round(psi, 5),
        "js": round(js, 5),
        "p": chance,
        "effect": round(own, 3),
        "rows": round(rows, 1),
        "n": n,
        "bins": labels,
        "counts": [int(count) for count in counts],
        "shares": [round(float(share), 6) for share in bins.shares],
        "shows": {},
    }
    return figures, _surges(column, limits)


def _surges(column: Column, limits: Limits) -> dict[str, tuple[float, float, float]]:
    bins, codes, n = column.bins, column.codes, len(column.codes)
    if bins.missing is None or not n:
        return {}
    last = 1 if column.values is not None else len(bins.shares) - 1
    odd = {"nulls": (last, bins.missing)}
    if OTHER in bins.labels:
        odd["unseen"] = (last - 1, float(bins.shares[last - 1]))
    found = {}
    for kind, (code, then) in odd.items():
        hit = codes == code
        now, chance = float(hit.mean()), 1.0
        if now - then >= limits.surge:
            rows = n / dependence.within(hit.astype(np.intp), 2)
            chance = significance.surge_p_value(now, then, rows, bins.rows)
        found[kind] = (round(now, 6), round(then, 6), chance)
    return found
