"""k-means: scikit-learn's, kept as its centres."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution

from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import FIXED_BYTES, Dataset, Family, FitContext, Fitted, Params, TaskInfo
from pipelines.inference.members.linear import Design
from pipelines.inference.members.unsupervised import ClustersMember

MAX_ROWS = 200_000
"""More rows than this are thinned by a fixed step."""
MAX_WIDTH = 200
"""Columns of the design matrix."""
STARTS = 5


class KMeans(Family):
    """k-means on standardised numbers and one column per frequent code, the best of some starts. ``y`` is not read."""

    name: ClassVar[str] = "kmeans"

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a few numbers of clusters."""
        return tuple({"clusters": clusters, "levels": 10} for clusters in (5, 3, 8))

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {"clusters": IntDistribution(2, 30, log=True), "levels": IntDistribution(3, 30, log=True)}

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Find the centres; with fewer rows than clusters, each row is one."""
        from sklearn.cluster import KMeans as Model

        context.limit.check()
        step = -(-len(train.X) // MAX_ROWS)
        X, w = train.X[::step], train.w[::step]
        adapters = learn_adapters({**params, "numbers": "straight", "pieces": 2}, X, shape, MAX_WIDTH)
        design = Design(adapters)(X)
        count = min(int(params["clusters"]), len(np.unique(design, axis=0)))
        model: Any = Model(count, n_init=STARTS, random_state=context.seed).fit(design, sample_weight=w)
        context.limit.check()
        centers = np.asarray(model.cluster_centers_, dtype=np.float64)
        member = ClustersMember(adapters, centers, np.arange(count, dtype=np.float64), np.inf)
        return Fitted(self.name, member, {"clusters": float(count), "inertia": float(model.inertia_)})

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the design matrix and a copy."""
        return FIXED_BYTES + 20 * min(MAX_ROWS, shape.rows) * MAX_WIDTH
