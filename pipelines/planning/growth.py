"""How what a stage takes grows with its work: a robust line with prediction intervals, and curves to begin with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

LEVEL = 0.8
"""The share of nights that an interval is meant to hold."""
ENOUGH = 4
"""Nights from which on a line of their own is drawn."""
APART = 1.1
"""Largest work over smallest below which nights tell a level and no slope."""
NEWEST = 30
"""Nights that are looked at: a machine and its code change."""
LEAST_SPREAD = 0.05
"""Relative spread that is believed at least, however alike a few nights were."""
UNKNOWN = 3.0
"""Factor between the value and each end of its interval where nothing was measured here."""
FEW = (1.6, 1.4, 1.3)
"""The same after one, two and three nights."""


@dataclass(frozen=True)
class Estimate:
    """A value that is expected, and the ends of the interval that holds it with the probability ``LEVEL``."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        """Return the same in another unit."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    @classmethod
    def exactly(cls, value: float) -> Estimate:
        """Return what is known."""
        return cls(value, value, value)


@dataclass(frozen=True)
class Curve:
    """A fixed part and one that grows: ``fixed + per_unit * work``."""

    fixed: float
    per_unit: float = 0.0

    def at(self, work: float) -> float:
        """Return the value at so much work."""
        return self.fixed + self.per_unit * work


def n_log_n(rows: float) -> float:
    """Return the work of sorting: rows times their binary logarithm, scaled so that that of a million is a million.

    >>> round(n_log_n(1_000_000)), round(n_log_n(10_000_000) / n_log_n(1_000_000), 2)
    (1000000, 11.67)
    """
    return rows * math.log2(max(rows, 2.0)) / math.log2(1e6)


def estimate(points: Sequence[tuple[float, float]], work: float, curve: Curve) -> Estimate:
    """Tell what so much work takes, from what it took before.

    From four nights of different size on the line is that of Theil and Sen: the slope is the median of the slopes
    between any two nights, the fixed part the median of what is left, so that up to 29 % of wild nights do not move
    it. Neither is negative. Before that the curve gives the shape, and the nights its height: the median of taken
    over curve.

    The half width of the interval is ``t * s * value * sqrt(1 + 1/n + (x - mean)² / Σ(x_i - mean)²)``, the prediction
    interval of a regression whose errors are proportional to its value, with Student's t for n - 2 degrees of freedom
    and s = 1.4826 * (1 + 5 / (n - 2)) times the median absolute relative error, whose second factor makes up for the
    line having been drawn through the same nights.

    Parameters
    ----------
    points
        Work, and what it took, oldest first.
    curve
        What is expected where nothing was measured.

    References
    ----------
    H. Theil (1950), A rank-invariant method of linear and polynomial regression analysis. P. K. Sen (1968), Estimates
    of the regression coefficient based on Kendall's tau. P. J. Rousseeuw and A. M. Leroy (1987), Robust Regression and
    Outlier Detection, chapter 5, for s. N. R. Draper and H. Smith (1998), Applied Regression Analysis, section
    3.1, for the interval.
    """
    points = list(points)[-NEWEST:]
    if not points:
        value = curve.at(work)
        return Estimate(value, value / UNKNOWN, value * UNKNOWN)
    line = fitted(points, curve)
    value = line.at(work)
    if len(points) < ENOUGH:
        factor = FEW[len(points) - 1]
        return Estimate(value, value / factor, value * factor)
    from scipy.stats import t

    errors = [abs(taken / line.at(each) - 1.0) if line.at(each) else 0.0 for each, taken in points]
    spread = max(1.4826 * (1 + 5 / (len(points) - 2)) * median(errors), LEAST_SPREAD)
    mean = sum(each for each, _ in points) / len(points)
    around = sum((each - mean) ** 2 for each, _ in points)
    away = (work - mean) ** 2 / around if around else 0.0
    quantile = float(t.ppf(0.5 + LEVEL / 2, len(points) - 2))
    half = quantile * spread * value * math.sqrt(1.0 + 1.0 / len(points) + away)
    return Estimate(value, max(value - half, 0.0), value + half)


def fitted(points: Sequence[tuple[float, float]], curve: Curve) -> Curve:
    """Return the line through some nights, see :func:`estimate`; the curve where there is none."""
    if not points:
        return curve
    works = [work for work, _ in points]
    if len(points) < ENOUGH or max(works) <= APART * min(works):
        ratios = [taken / expected for work, taken in points if (expected := curve.at(work)) > 0]
        height = median(ratios) if ratios else 1.0
        return Curve(curve.fixed * height, curve.per_unit * height)
    pairs = combinations(points, 2)
    slope = median((taken - before) / (work - less) for (less, before), (work, taken) in pairs if work != less)
    if slope <= 0.0:
        return Curve(median(taken for _, taken in points))
    fixed = median(each - slope * work for work, each in points)
    if fixed < 0.0:
        return Curve(0.0, median(each / work for work, each in points if work))
    return Curve(fixed, slope)


def together(parts: Sequence[Estimate]) -> Estimate:
    """Add estimates up; their errors are taken as independent, so that the squares of the half widths add up."""
    value = sum(part.value for part in parts)
    below = math.sqrt(sum((part.value - part.low) ** 2 for part in parts))
    above = math.sqrt(sum((part.high - part.value) ** 2 for part in parts))
    return Estimate(value, max(value - below, 0.0), value + above)


def largest(parts: Sequence[Estimate]) -> Estimate:
    """Return what the largest of some estimates may be."""
    if not parts:
        return Estimate.exactly(0.0)
    return Estimate(*(max(getattr(part, end) for part in parts) for end in ("value", "low", "high")))
