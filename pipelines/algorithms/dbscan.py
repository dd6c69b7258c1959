"""DBSCAN: scikit-learn's, kept as its core rows."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import FIXED_BYTES, Dataset, Family, FitContext, Fitted, Params, TaskInfo
from pipelines.inference.members.linear import Design
from pipelines.inference.members.unsupervised import ClustersMember

MAX_ROWS = 20_000
"""More rows than this are thinned by a fixed step."""
MAX_WIDTH = 80
"""Columns of the design matrix."""


class Dbscan(Family):
    """Clusters of any form: rows within reach of each other, directly or through core rows. ``y`` is not read.

    The reach is not a length, which would mean something else in each table, but the ``quantile``, over all rows, of
    the distance to the ``neighbours``-th nearest row. A new row has the cluster of its nearest core row, if within
    reach; else it is noise.

    Notes
    -----
    Ester, Kriegel, Sander, Xu: A density-based algorithm for discovering clusters, KDD 1996.
    """

    name: ClassVar[str] = "dbscan"

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a tolerant and a strict configuration."""
        return {"neighbours": 10, "quantile": 0.9, "levels": 10}, {"neighbours": 10, "quantile": 0.6, "levels": 10}

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {
            "neighbours": IntDistribution(3, 50, log=True),
            "quantile": FloatDistribution(0.3, 0.99),
            "levels": IntDistribution(3, 30, log=True),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Find the core rows; where there are none, every row is noise."""
        from sklearn.cluster import DBSCAN
        from sklearn.neighbors import NearestNeighbors

        context.limit.check()
        step = -(-len(train.X) // MAX_ROWS)
        X = train.X[::step]
        adapters = learn_adapters({**params, "numbers": "straight", "pieces": 2}, X, shape, MAX_WIDTH)
        design = Design(adapters)(X)
        count = min(int(params["neighbours"]), len(design))
        near: Any = NearestNeighbors(n_neighbors=count).fit(design)
        reach = max(float(np.quantile(near.kneighbors(design)[0][:, -1], float(params["quantile"]))), 1e-9)
        context.limit.check()
        model: Any = DBSCAN(eps=reach, min_samples=count).fit(design)
        context.limit.check()
        core = model.core_sample_indices_
        member = ClustersMember(adapters, design[core], model.labels_[core].astype(np.float64), reach)
        noise = float((model.labels_ < 0).mean())
        return Fitted(self.name, member, {"clusters": float(model.labels_.max() + 1), "noise": noise, "reach": reach})

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the design matrix and each row's neighbours, of which there may be many."""
        rows = min(MAX_ROWS, shape.rows)
        return FIXED_BYTES + 20 * rows * MAX_WIDTH + rows * rows
