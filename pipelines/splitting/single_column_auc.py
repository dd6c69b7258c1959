"""How well one column alone predicts the target, scored on rows that it was not fitted on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.metrics.ranks import roc_area

BINS = 256
"""Most quantile bins of a column of numbers."""
ROWS_PER_BIN = 20
MIN_ROWS = 100
"""Fewest rows; with fewer, nearly everything fits by chance."""
MIN_CLASS_ROWS = 10
MAX_CLASSES = 50
COUNTED = 1 << 20
"""Codes below this are counted in an array instead of sorted."""

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def binned(values: Numbers, fit: npt.NDArray[np.bool_]) -> Codes:
    """Return the bin of every number by the quantiles of the rows in ``fit``; missing values have their own bin."""
    known = values[fit & ~np.isnan(values)]
    if not len(known):
        return np.zeros(len(values), np.int64)
    edges = _edges(known)
    below = np.searchsorted(edges, values, side="left")
    # twice the edges below: an edge that many rows share is a bin of its own
    bins = 2 * below + (edges[np.minimum(below, len(edges) - 1)] == values)
    bins[np.isnan(values)] = 2 * len(edges) + 1
    return np.asarray(bins, np.int64)


def _edges(known: Numbers) -> Numbers:
    bins = max(2, min(BINS, len(known) // ROWS_PER_BIN))
    shares = np.linspace(0, 1, bins + 1)[1:-1]
    return np.unique(np.sort(known)[np.floor((len(known) - 1) * shares).astype(np.intp)])


def auc(codes: Codes, y: Codes, classes: int, fit: npt.NDArray[np.bool_]) -> float:
    """Return the mean area under the ROC curve over the classes (by size) of the class shares seen with each code.

    Shares are learned on the rows in ``fit`` and judged on the others, and the other way round; the worse of both is
    given, 0.5 where there are too few rows. A code that occurs in one row tells nothing about other rows.
    """
    if len(y) < MIN_ROWS:
        return 0.5
    levels = int(codes.max(initial=0)) + 1
    sides = []
    for side in (fit, ~fit):
        cells = codes[side] * classes + y[side]
        sides.append(np.bincount(cells, minlength=levels * classes).reshape(levels, classes).astype(np.float64))
    return min(_auc(*sides), _auc(*reversed(sides)))


def _auc(learned: Numbers, judged: Numbers) -> float:
    """Return the area from counts by code (rows) and class (columns)."""
    totals = learned.sum(axis=1, keepdims=True)
    prior = learned.sum(axis=0) / max(1.0, learned.sum())
    shares = (learned + prior) / (totals + 1.0)
    sizes = judged.sum(axis=0)
    areas, weights = [], []
    for one in np.argsort(-sizes, kind="stable")[:MAX_CLASSES]:
        positive = judged[:, one]
        negative = judged.sum(axis=1) - positive
        if sizes[one] < MIN_CLASS_ROWS or negative.sum() < MIN_CLASS_ROWS:
            continue
        score, group = np.unique(shares[:, one], return_inverse=True)
        up = np.bincount(group, positive, len(score)).astype(np.float64)
        down = np.bincount(group, negative, len(score)).astype(np.float64)
        areas.append(float(roc_area(up, down)))
        weights.append(sizes[one])
    if not areas or (len(areas) < min(2, len(sizes)) and len(sizes) > 2):
        return 0.5
    return float(np.average(areas, weights=weights))


def explained(values: Numbers, y: Numbers, fit: npt.NDArray[np.bool_]) -> float:
    """Return the share of the target's variance that a line through the bins' means explains, on rows not in it."""
    known = ~np.isnan(values)
    if known.sum() < MIN_ROWS or known.mean() < 0.5:
        return 0.0
    return min(_explained(values, y, fit & known, ~fit & known), _explained(values, y, ~fit & known, fit & known))


def _explained(values: Numbers, y: Numbers, fit: npt.NDArray[np.bool_], judge: npt.NDArray[np.bool_]) -> float:
    spread = float(np.var(y[judge])) if judge.any() else 0.0
    if spread <= 0 or fit.sum() < 2:
        return 0.0
    codes = np.searchsorted(_edges(values[fit]), values[fit])
    count = np.bincount(codes)
    some = count > 0
    x = np.bincount(codes, values[fit])[some] / count[some]
    mean = np.bincount(codes, y[fit])[some] / count[some]
    curve = np.interp(values[judge], x, mean)
    best = float(np.mean((y[judge] - curve) ** 2))
    size = float(np.abs(values[fit | judge]).max())
    if size > 0:  # divided by it, the squares stay within the range of floats
        inner, outer = values[fit] / size, values[judge] / size
        middle, level = inner.mean(), y[fit].mean()
        length = float((inner - middle) @ (inner - middle))
        if length > 0:
            slope = float((inner - middle) @ (y[fit] - level)) / length
            best = min(best, float(np.mean((y[judge] - level - slope * (outer - middle)) ** 2)))
    return 1.0 - best / spread


def explained_by_codes(codes: Codes, y: Numbers, fit: npt.NDArray[np.bool_]) -> float:
    """Return the share of the target's variance that the mean per code explains, on rows not in it."""
    if len(y) < MIN_ROWS:
        return 0.0
    levels = int(codes.max(initial=0)) + 1
    found = []
    for side in (fit, ~fit):
        mean = y[side].mean()
        count = np.bincount(codes[side], minlength=levels)
        means = (np.bincount(codes[side], y[side], levels) + mean) / (count + 1)
        spread = float(np.var(y[~side]))
        found.append(1.0 - float(np.mean((y[~side] - means[codes[~side]]) ** 2)) / spread if spread > 0 else 0.0)
    return min(found)


def one_to_one(codes: Codes, y: Codes) -> bool:
    """Tell whether codes and classes correspond one to one."""
    pairs = _different(codes * (int(y.max(initial=0)) + 1) + y)
    return bool(1 < pairs == _different(codes) == _different(y))


def _different(codes: Codes) -> int:
    """Count the distinct codes; none may be negative."""
    if int(codes.max(initial=0)) < max(COUNTED, 4 * len(codes)):
        return int(np.count_nonzero(np.bincount(codes)))
    return len(np.unique(codes))


def parts_of_sum(matrix: Numbers, y: Numbers, fit: npt.NDArray[np.bool_]) -> list[int]:
    """Return the columns that together are the target, up to rounding: a sum, a difference or any weighted one.

    Least squares on the rows in ``fit``, without those where a number is missing, judged on the others.

    Parameters
    ----------
    matrix
        Shape (n, p), few columns compared with rows.
    """
    known = ~np.isnan(matrix).any(axis=1)
    matrix, y, fit = matrix[known], y[known], fit[known]
    if min(fit.sum(), (~fit).sum()) < MIN_ROWS + 5 * matrix.shape[1]:
        return []
    size = np.abs(matrix).max(axis=0)
    matrix = matrix / np.where(size > 0, size, 1.0)  # so that squares stay within the range of floats
    middle, scale = matrix[fit].mean(axis=0), matrix[fit].std(axis=0)
    usable = np.flatnonzero(scale > 0)
    if len(usable) < 2:
        return []
    units = (matrix[:, usable] - middle[usable]) / scale[usable]
    center = y[fit].mean()
    weights = np.linalg.lstsq(units[fit], y[fit] - center, rcond=None)[0]
    left = y[~fit] - center - units[~fit] @ weights
    spread = float(y[~fit].std())
    if spread == 0 or float(left.std()) > 1e-6 * spread:
        return []
    return [int(index) for index in usable[np.abs(weights) > 1e-3 * spread]]
