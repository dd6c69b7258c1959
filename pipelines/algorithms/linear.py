"""Ridge and logistic regression with their own input adapter."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from pipelines.algorithms.base import Array, Family, Fitted, Limit, Params, Part, Shape
from pipelines.inference.linear import ColumnAdapter, LinearMember, design_matrix

MAX_WIDTH = 600
"""Columns of the design matrix; the knots and levels of each column shrink to keep below it."""
MAX_ROWS = 200_000
"""More rows than this are thinned by a fixed step: a linear model has long converged."""
ITERATIONS = 150


class Linear(Family):
    """L2-regularised linear model on a piecewise-linear basis of numbers and one column per frequent code."""

    name: ClassVar[str] = "linear"

    def portfolio(self, shape: Shape) -> tuple[Params, ...]:
        """Give a curved and a straight configuration."""
        curved = {"strength": 1.0, "numbers": "pieces", "pieces": 12, "levels": 40}
        return curved, {"strength": 1.0, "numbers": "straight", "pieces": 12, "levels": 20}

    def space(self, shape: Shape) -> dict[str, BaseDistribution]:
        """Give the search space; ``strength`` multiplies the penalty."""
        return {
            "strength": FloatDistribution(1e-2, 1e2, log=True),
            "numbers": CategoricalDistribution(("pieces", "straight")),
            "pieces": IntDistribution(4, 32, log=True),
            "levels": IntDistribution(10, 80, log=True),
        }

    def fit(
        self, params: Params, train: Part, valid: Part | None, shape: Shape, *,
        seed: int, threads: int, limit: Limit, device: str = "cpu",
    ) -> Fitted:  # fmt: skip
        """Learn the adapter and the coefficients; ``valid`` is not used."""
        limit.check()
        step = -(-len(train.y) // MAX_ROWS)
        X, y, w = train.X[::step], train.y[::step], train.w[::step]
        adapters = learn_adapters(params, X, shape)
        design = design_matrix(adapters, X)
        limit.check()
        weights = w / w.mean()
        strength = float(params["strength"])
        if shape.classes:
            member = _logistic(adapters, design, y, weights, strength, shape.classes)
        else:
            member = _ridge(adapters, design, y, weights, strength)
        limit.check()
        return Fitted(self.name, member)


def _logistic(
    adapters: list[ColumnAdapter], design: Array, y: Array, w: Array, strength: float, classes: int
) -> LinearMember:
    present = np.unique(y).astype(int)
    if len(present) == 1:
        return LinearMember(adapters, np.zeros((design.shape[1], 1)), np.zeros(1), [int(present[0])], classes)
    model = LogisticRegression(C=1.0 / strength, max_iter=ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        # A search may stop short of full convergence: the out-of-fold score judges what came out.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(design, y, sample_weight=w)
    return LinearMember(adapters, model.coef_.T.copy(), model.intercept_.copy(), [int(c) for c in present], classes)


def _ridge(adapters: list[ColumnAdapter], design: Array, y: Array, w: Array, strength: float) -> LinearMember:
    model: Any = Ridge(alpha=strength, solver="cholesky")
    model.fit(design, y, sample_weight=w)
    # Outside the range it has seen (and half of it again) a linear answer is an accident of extrapolation.
    low, high = float(y.min()), float(y.max())
    reach = 0.5 * (high - low)
    coefficients = np.asarray(model.coef_, dtype=np.float64).reshape(-1, 1)
    return LinearMember(
        adapters, coefficients, np.atleast_1d(np.float64(model.intercept_)), [], 0, (low - reach, high + reach)
    )


def learn_adapters(params: Params, X: Array, shape: Shape) -> list[ColumnAdapter]:
    """Learn, from training rows only, how each typed column enters the design matrix."""
    fair = max(2, MAX_WIDTH // max(1, len(shape.kinds)))
    pieces, levels = min(int(params["pieces"]), fair), min(int(params["levels"]), fair)
    adapters = []
    for column, kind in enumerate(shape.kinds):
        values = X[:, column]
        if kind == "code":
            codes, counts = np.unique(values, return_counts=True)
            order = np.lexsort((codes, -counts))[:levels]
            frequent = sorted(int(code) for code in codes[order] if np.isfinite(code))
            adapters.append(ColumnAdapter(column, kind, levels=frequent))
            continue
        seen = values[np.isfinite(values)]
        if len(seen) == 0:
            continue
        mean, scale = float(seen.mean()), float(seen.std())
        adapter = ColumnAdapter(
            column, kind, fill=float(np.median(seen)), mean=mean, scale=scale or 1.0, flag=len(seen) < len(values)
        )
        if params["numbers"] == "pieces":
            # Half by rank among the rows, half among the distinct values: a long tail behind many zeros gets knots too.
            distinct = np.unique(seen)
            by_row = np.quantile(seen, np.linspace(0.0, 1.0, pieces // 2 + 1))
            by_value = np.quantile(distinct, np.linspace(0.0, 1.0, pieces // 2 + 1))
            knots = np.unique(np.concatenate([by_row, by_value]))
            if len(knots) > 2:
                adapter.knots = [float(knot) for knot in knots]
        adapters.append(adapter)
    return adapters
