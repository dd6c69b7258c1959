"""Bounds of number columns, learned from the values of unsealed rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipelines.cleaning import scan
from pipelines.cleaning.parts import Parts
from pipelines.cleaning.spec import CleanSpec, Outliers
from pipelines.inference.recipe.row_recipe import Column, RowRecipe

NORMAL = 1.4826
"""1 / Φ⁻¹(3/4): makes the median absolute deviation of a normal distribution its standard deviation."""
NORMAL_MEAN = 1.2533
"""√(π/2): the same for the mean absolute deviation, used if more than half the values are equal."""
SLIP_K = 10.0
"""A number beyond this many robust standard deviations may have a shifted decimal point."""
Bounds = tuple[float | None, float | None]


def robust_bounds(values: npt.NDArray[np.float64], k: float) -> Bounds:
    """Return median ± k robust standard deviations.

    Iglewicz and Hoaglin, *How to Detect and Handle Outliers*, 1993: 1.4826 · MAD, and 1.2533 · mean absolute
    deviation where the MAD is 0. ``(None, None)`` where there are no values, or only one.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return None, None
    middle = float(np.median(values))
    away = np.abs(values - middle)
    scale = NORMAL * float(np.median(away)) or NORMAL_MEAN * float(np.mean(away))
    if not scale or not np.isfinite(scale * k):
        return None, None
    return middle - k * scale, middle + k * scale


def bounds_of(values: npt.NDArray[np.float64], spec: Outliers) -> Bounds:
    """Return the bounds of one column: declared ones, else learned from ``values``, shape (n,), NaN where missing."""
    low, high = spec.low, spec.high
    if low is None or high is None:
        given = values[np.isfinite(values)]
        learned: Bounds = (None, None)
        if spec.by == "mad":
            learned = robust_bounds(given, spec.k)
        elif len(given):
            pair = np.quantile(given, spec.quantiles)
            learned = float(pair[0]), float(pair[1])
        low, high = learned[0] if low is None else low, learned[1] if high is None else high
    return low, high


def learn_bounds(
    parts: Parts, recipe: RowRecipe, spec: CleanSpec, unsealed: bool, notes: list[str]
) -> tuple[RowRecipe, dict[str, Bounds]]:
    """Learn the bounds for unit slips and outliers, one column in memory at a time.

    Returns
    -------
    recipe : RowRecipe
        With the slips and clips.
    limits : dict
        Bounds of the columns whose outliers are dropped or held.
    """
    columns, limits = [], {}
    for column in recipe.columns:
        unit, outliers = spec.units.get(column.name), spec.outliers.get(column.name)
        if column.kind == "number" and unit is not None and unit.slip is not None:
            low, high = robust_bounds(_values(parts, recipe, column, unsealed), SLIP_K)
            if low is not None and high is not None:
                column = replace(column, change=replace(column.change, slip=(unit.slip, low, high)))
        if column.kind == "number" and outliers is not None:
            declared = outliers.low is not None and outliers.high is not None
            values = np.empty(0) if declared else _values(parts, recipe, column, unsealed)
            bounds = bounds_of(values, outliers)
            if bounds == (None, None):
                notes.append(f"column {column.name!r} has no outlier bounds: its values do not differ")
            elif outliers.action == "clip":
                column = replace(column, change=replace(column.change, clip=bounds))
            else:
                limits[column.name] = bounds
        columns.append(column)
    return replace(recipe, columns=tuple(columns)), limits


def outside(values: npt.NDArray[np.float64], bounds: Bounds) -> npt.NDArray[np.bool_]:
    """Mark the values beyond the bounds; missing values are not marked."""
    low, high = bounds
    beyond = np.zeros(len(values), dtype=bool)
    if low is not None:
        beyond |= values < low
    if high is not None:
        beyond |= values > high
    return beyond


def shown(bounds: Bounds) -> str:
    """Return bounds as text, ``-2 … 150``."""
    low, high = ("" if bound is None else f"{bound:.6g}" for bound in bounds)
    return f"{low} … {high}".strip()


def _values(parts: Parts, recipe: RowRecipe, column: Column, unsealed: bool) -> npt.NDArray[np.float64]:
    one_column = replace(recipe, columns=(column,))

    def one(index: int) -> npt.NDArray[np.float64]:
        table = parts.read(index, [column.name, *(["_sealed"] if unsealed else [])])
        clean, _ = one_column.apply(scan.unsealed_rows(table, unsealed))
        return clean[column.name].to_numpy()

    return np.concatenate([np.empty(0), *parts.each(one)])
