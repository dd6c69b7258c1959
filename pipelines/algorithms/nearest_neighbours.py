"""k nearest neighbours among stored rows, in columns weighted by what they tell of the target."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import FIXED_BYTES, Array, Dataset, Family, FitContext, Fitted, Params, TaskInfo
from pipelines.inference.members.linear import Design
from pipelines.inference.members.neighbours import NeighboursMember

MAX_ROWS = 5_000
"""Rows kept; more are drawn, the rare classes first: one prediction computes the distance to all of them."""
MAX_WIDTH = 80
"""Columns of the design matrix."""
LEAST_OF_CLASS = 200
"""Rows of a class that are kept before the others share what is left."""


class NearestNeighbours(Family):
    """Weighted vote, or mean, of the nearest rows.

    ``relevance`` is the power of each column's correlation with the target that scales it: 0 leaves all columns alike.
    """

    name: ClassVar[str] = "nearest_neighbours"

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a smooth and a sharp configuration."""
        first = {"neighbours": 25, "power": 1.0, "smoothing": 0.5, "relevance": 0.5, "levels": 10}
        return first, {**first, "neighbours": 7, "power": 2.0}

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {
            "neighbours": IntDistribution(1, 100, log=True),
            "power": FloatDistribution(0.0, 3.0),
            "smoothing": FloatDistribution(1e-2, 10.0, log=True),
            "relevance": FloatDistribution(0.0, 2.0),
            "levels": IntDistribution(3, 30, log=True),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Choose and scale the rows to keep; ``valid`` is not used."""
        context.limit.check()
        few = len(train.y) <= MAX_ROWS
        rows = np.arange(len(train.y)) if few else np.flatnonzero(keep(train.y, shape, context.seed))
        X, y = train.X[rows], train.y[rows]
        w = _weights(train, rows, shape)
        adapters = learn_adapters({**params, "numbers": "straight", "pieces": 2}, train.X, shape, MAX_WIDTH)
        design = Design(adapters)(X)
        values = (y[:, None] == np.arange(shape.classes)).astype(np.float64) if shape.classes else y[:, None].copy()
        prior = np.average(values, axis=0, weights=w)
        scale = relevance(design, values, w) ** float(params["relevance"])
        context.limit.check()
        member = NeighboursMember(
            adapters,
            scale,
            (design * scale).astype(np.float32),
            values,
            w,
            prior,
            int(params["neighbours"]),
            float(params["power"]),
            float(params["smoothing"]),
            shape.classes,
        )
        return Fitted(self.name, member, {"rows": float(len(rows))})

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the kept rows and one block of distances."""
        return FIXED_BYTES + 16 * min(MAX_ROWS, shape.rows) * MAX_WIDTH


def keep(y: Array, shape: TaskInfo, seed: int) -> NDArray[np.bool_]:
    """Return which ``MAX_ROWS`` rows to keep: of each class the first ``LEAST_OF_CLASS``, then as they come."""
    order = np.random.default_rng(seed).permutation(len(y))
    mask = np.zeros(len(y), dtype=bool)
    if shape.classes:
        least = min(LEAST_OF_CLASS, MAX_ROWS // shape.classes)
        for label in np.unique(y):
            mask[order[y[order] == label][:least]] = True
    rest = order[~mask[order]]
    mask[rest[: MAX_ROWS - int(mask.sum())]] = True
    return mask


def _weights(train: Dataset, rows: NDArray[np.intp], shape: TaskInfo) -> Array:
    """Return weights of mean 1 by which each class counts among the kept rows what it counts among all."""
    w = train.w[rows].copy()
    if shape.classes:
        labels, kept = train.y.astype(np.intp), train.y[rows].astype(np.intp)
        whole = np.bincount(labels, weights=train.w, minlength=shape.classes)
        some = np.bincount(kept, weights=w, minlength=shape.classes)
        w *= (whole / np.where(some > 0, some, 1.0))[kept]
    return np.asarray(w / w.mean())


def relevance(design: Array, values: Array, w: Array) -> Array:
    """Return each column's greatest absolute correlation with a column of ``values``, at least 0.02, 1 for the best.

    A column is first measured in its own standard deviation, so that the scale of a column does not matter.
    """
    weight = w / w.sum()
    X, Y = design - weight @ design, values - weight @ values
    spread = np.sqrt(weight @ X**2)
    usual = np.sqrt(np.einsum("n,no->o", weight, Y**2))
    products = np.abs((X * weight[:, None]).T @ Y) / np.outer(
        np.where(spread > 0, spread, 1.0), np.where(usual > 0, usual, 1.0)
    )
    strength = products.max(axis=1)
    return np.asarray(np.clip(strength / max(float(strength.max(initial=0.0)), 1e-9), 0.02, 1.0))
