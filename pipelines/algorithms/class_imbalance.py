"""Care for rare classes as a setting of any family: synthetic rows (SMOTE) or weights, in what it learns from alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from pipelines.algorithms.base import (
    Array,
    Dataset,
    Family,
    FitContext,
    Fitted,
    Params,
    TaskInfo,
    Wrapped,
    matrix_bytes,
)
from pipelines.inference.members.registry import Rescaled

AUGMENT = "augment"
"""Name of the setting: ``none``, ``smote``, or ``weights``."""
WAYS = {"weights": ("none", "weights"), "smote": ("none", "smote", "weights")}
"""What is tried, by what ``TuneSpec.augment`` says."""
NEIGHBOURS = 5
MOST_TIMES = 10
"""A class grows to at most this many times its own rows."""
RARE_ROWS = 10_000
"""A class with more rows than this is not rare, whatever the others have."""


class Augmented(Wrapped):
    """Another family whose search space has one setting more: whether it learns from augmented or weighted rows.

    ``way`` is the most that may be done: weights alone, or SMOTE too. The rows that judge a fold (``valid``) are never
    augmented. A refit on all rows is augmented as the folds were.
    """

    def __init__(self, inner: Family, way: str = "smote") -> None:
        super().__init__(inner)
        self.way = way

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return the family's own configurations, and its first one with augmentation as the second."""
        first, *others = self.inner.portfolio(shape)
        plain = [{**params, AUGMENT: "none"} for params in others]
        return ({**first, AUGMENT: "none"}, {**first, AUGMENT: self.way}, *plain)

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the family's own space and the setting."""
        return {**self.inner.space(shape), AUGMENT: CategoricalDistribution(WAYS[self.way])}

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Fit the family on ``train``, augmented or weighted as ``params`` say; predictions are for unweighted rows."""
        own = {name: value for name, value in params.items() if name != AUGMENT}
        rows, way = train, params.get(AUGMENT)
        if way == "smote":
            rows = smote(train, shape, seed=context.seed)
        weights = class_weights(train, shape) if way == "weights" else None
        if weights is not None:
            rows = train._replace(w=train.w * weights[train.y.astype(np.intp)])
            valid = valid and valid._replace(w=valid.w * weights[valid.y.astype(np.intp)])
        fitted = self.inner.fit(own, rows, valid, shape, context)
        return fitted if weights is None else replace(fitted, member=Rescaled(fitted.member, weights))

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the family's own need and a second copy of the rows."""
        return self.inner.memory(shape) + 2 * matrix_bytes(shape)


def class_weights(rows: Dataset, shape: TaskInfo) -> Array | None:
    """Return how much more each class shall count: as much as the square root of how much rarer it is than the largest.

    At most ``MOST_TIMES``; 1 for a class without rows. None for a regression.
    """
    if not shape.classes:
        return None
    total = np.bincount(rows.y.astype(np.intp), weights=rows.w, minlength=shape.classes)
    times = np.sqrt(total.max() / np.where(total > 0, total, total.max()))
    return np.asarray(np.minimum(times, MOST_TIMES))


def smote(rows: Dataset, shape: TaskInfo, *, seed: int) -> Dataset:
    """Return the rows, unchanged and in order, followed by synthetic rows of the rare classes (SMOTE).

    Every class of at most ``RARE_ROWS`` rows grows towards the size of the largest one, up to ``MOST_TIMES`` its own
    rows. A synthetic row lies between a row and one of its ``NEIGHBOURS`` nearest of the same class; codes take the
    most frequent value among these neighbours (SMOTENC). Numbers are compared in units of their standard deviation.
    **Missing numbers are imputed by the median of these rows** for this purpose, so synthetic rows have no missing
    number (except in columns without any number). A class of fewer rows than neighbours uses all of its rows, a class
    of one row is left alone. A synthetic row has the mean weight of its class.

    Parameters
    ----------
    rows
        The training side of a fold, or all rows.
    seed
        Same rows and seed: the same synthetic rows to the byte.

    Notes
    -----
    Chawla, Bowyer, Hall, Kegelmeyer: SMOTE, Journal of Artificial Intelligence Research 16 (2002), 321-357;
    SMOTE-NC in section 6.1.
    """
    if not shape.classes:
        return rows
    counts = np.bincount(rows.y.astype(np.intp), minlength=shape.classes)
    largest = int(counts.max())
    rare = [c for c in range(shape.classes) if 1 < counts[c] <= RARE_ROWS and counts[c] < largest]
    if not rare:
        return rows
    codes = np.asarray(shape.codes, dtype=np.intp)
    numbers = np.setdiff1d(np.arange(rows.X.shape[1]), codes)
    middle, scale, empty = _units(rows.X[:, numbers])
    made = [rows.X]
    for label in rare:
        own = rows.X[rows.y == label]
        # imblearn wants a second class; only SMOTEN, which compares codes by how they separate classes, uses it.
        other = rows.X[rows.y != label][: 1 if len(numbers) else RARE_ROWS]
        wanted = min(largest, MOST_TIMES * len(own))
        both = np.concatenate([own, other])
        # divided first, so that no difference leaves the range of floats
        both[:, numbers] = np.where(np.isfinite(both[:, numbers]), both[:, numbers], middle) / scale - middle / scale
        new = _synthetic(both, len(own), wanted, codes, seed + label)
        new[:, numbers] = (new[:, numbers] + middle / scale) * scale
        new[:, numbers[empty]] = np.nan
        made.append(new)
    sizes = [len(block) for block in made[1:]]
    weights = [np.full(size, rows.w[rows.y == label].mean()) for size, label in zip(sizes, rare, strict=True)]
    return Dataset(
        np.concatenate(made),
        np.concatenate([rows.y, np.repeat(np.asarray(rare, dtype=np.float64), sizes)]),
        np.concatenate([rows.w, *weights]),
    )


def _units(X: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return median, standard deviation (1 where there is none) and emptiness of each column of numbers."""
    middle, scale = np.zeros(X.shape[1]), np.ones(X.shape[1])
    empty = np.zeros(X.shape[1], dtype=bool)
    for index in range(X.shape[1]):
        finite = X[np.isfinite(X[:, index]), index]
        empty[index] = not len(finite)
        if len(finite):
            size = float(np.abs(finite).max()) or 1.0
            middle[index] = np.median(finite / size) * size
            scale[index] = (finite / size).std() * size or 1.0
    return middle, scale, empty


def _synthetic(both: Array, size: int, wanted: int, codes: NDArray[np.intp], seed: int) -> Array:
    """Return the new rows of a class whose ``size`` rows come first in ``both``, before rows of other classes."""
    # Loads much of scikit-learn, and only trials that augment need it; it ships no types.
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC  # type: ignore[import-untyped]

    options: dict[str, Any] = {
        "sampling_strategy": {1: wanted},
        "k_neighbors": min(NEIGHBOURS, size - 1),
        "random_state": seed,
    }
    if not len(codes):
        sampler = SMOTE(**options)
    elif len(codes) == both.shape[1]:
        sampler = SMOTEN(**options)
    else:
        sampler = SMOTENC(categorical_features=codes.tolist(), **options)
    label = (np.arange(len(both)) < size).astype(np.intp)
    new: Array = sampler.fit_resample(both, label)[0][len(both) :]
    return np.asarray(new, dtype=np.float64)
