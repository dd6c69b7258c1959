"""Principal components."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import FIXED_BYTES, Dataset, Family, FitContext, Fitted, Params, TaskInfo
from pipelines.inference.members.linear import Design
from pipelines.inference.members.unsupervised import ProjectionMember

MAX_WIDTH = 300
"""Columns of the design matrix."""
MOST = 100
"""Components, where nobody says how many."""
BLOCK = 50_000


class PcaFamily(Family):
    """As few directions of standardised numbers and frequent codes as hold ``variance``, at most ``components``.

    ``y`` is not read.

    The covariance is summed over blocks of rows, so that no table is too long.
    """

    name: ClassVar[str] = "pca"

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return nine tenths of the variance, and nearly all."""
        return tuple({"variance": share, "components": MOST, "levels": 10} for share in (0.9, 0.99))

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {
            "variance": FloatDistribution(0.5, 0.999),
            "components": IntDistribution(1, MOST, log=True),
            "levels": IntDistribution(3, 30, log=True),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Find the directions; each points to where its largest coefficient is positive."""
        context.limit.check()
        adapters = learn_adapters({**params, "numbers": "straight", "pieces": 2}, train.X, shape, MAX_WIDTH)
        design = Design(adapters)
        weight = train.w / train.w.sum()
        center, square = np.zeros(design.width), np.zeros((design.width, design.width))
        for start in range(0, len(train.X), BLOCK):
            context.limit.check()
            part = slice(start, start + BLOCK)
            rows, share = design(train.X[part]), weight[part, None]
            center += (share * rows).sum(axis=0)
            square += (share * rows).T @ rows
        values, vectors = np.linalg.eigh(square - np.outer(center, center))
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1].T
        total = float(values.sum())
        held = np.cumsum(values) / total if total > 0 else np.ones(len(values))
        count = int(np.searchsorted(held, float(params["variance"]) - 1e-12) + 1)
        chosen = vectors[: min(count, int(params["components"]), len(vectors))]
        turn = np.sign(chosen[np.arange(len(chosen)), np.abs(chosen).argmax(axis=1)])
        member = ProjectionMember(adapters, center, np.ascontiguousarray(chosen * turn[:, None]))
        return Fitted(self.name, member, {"components": float(len(chosen)), "variance": float(held[len(chosen) - 1])})

    def memory(self, shape: TaskInfo) -> int:
        """Estimate one block of the design matrix and the covariance."""
        return FIXED_BYTES + 24 * min(BLOCK, shape.rows) * MAX_WIDTH + 32 * MAX_WIDTH**2
