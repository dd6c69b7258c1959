"""Linear and logistic regression, penalised by squares, by sizes, or by both, with their own input adapter."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from pipelines.algorithms.adapters import MAX_WIDTH, learn_adapters
from pipelines.algorithms.base import FIXED_BYTES, Array, Dataset, Family, FitContext, Fitted, Params, TaskInfo
from pipelines.inference.members.linear import ColumnAdapter, LinearMember, design_matrix

MAX_ROWS = 200_000
"""More rows than this are thinned by a fixed step: a linear model has long converged."""
MAX_SPARSE_ROWS = 20_000
"""The same where the penalty is not smooth, and the solver slow."""
ITERATIONS, SPARSE_ITERATIONS = 150, 40


class Linear(Family):
    """Linear model on a piecewise-linear basis of numbers and one column per frequent code.

    ``l1_ratio`` is the share of the penalty that is on sizes: 0 is ridge (L2), 1 is lasso (L1, which leaves columns
    out), between them the elastic net.
    """

    name: ClassVar[str] = "linear"

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a curved and a straight configuration."""
        curved = {"strength": 1.0, "l1_ratio": 0.0, "numbers": "pieces", "pieces": 12, "levels": 40}
        return curved, {**curved, "numbers": "straight", "levels": 20}

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space; ``strength`` multiplies the penalty."""
        return {
            "strength": FloatDistribution(1e-2, 1e2, log=True),
            "l1_ratio": CategoricalDistribution((0.0, 0.3, 1.0)),
            "numbers": CategoricalDistribution(("pieces", "straight")),
            "pieces": IntDistribution(4, 32, log=True),
            "levels": IntDistribution(10, 80, log=True),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Learn the adapter and the coefficients; ``valid`` is not used."""
        context.limit.check()
        ratio = float(params.get("l1_ratio", 0.0))
        step = -(-len(train.y) // (MAX_SPARSE_ROWS if ratio else MAX_ROWS))
        X, y, w = train.X[::step], train.y[::step], train.w[::step]
        adapters = learn_adapters(params, X, shape)
        design = design_matrix(adapters, X)
        context.limit.check()
        weights = w / w.mean()
        strength = float(params["strength"])
        if shape.classes:
            member = _logistic(adapters, design, y, weights, strength, ratio, shape.classes, context.seed)
        else:
            member = _numbers(adapters, design, y, weights, strength, ratio)
        context.limit.check()
        return Fitted(self.name, member)

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the design matrix and what the solver needs beside it."""
        return FIXED_BYTES + 20 * min(MAX_ROWS, shape.rows) * MAX_WIDTH


def _logistic(
    adapters: list[ColumnAdapter],
    design: Array,
    y: Array,
    w: Array,
    strength: float,
    ratio: float,
    classes: int,
    seed: int,
) -> LinearMember:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(y).astype(int)
    if len(present) == 1:
        return LinearMember(adapters, np.zeros((design.shape[1], 1)), np.zeros(1), [int(present[0])], classes)
    model: Any = LogisticRegression(C=1.0 / strength, max_iter=ITERATIONS, tol=1e-3)
    if ratio:
        model.set_params(l1_ratio=ratio, solver="saga", max_iter=SPARSE_ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        # A search may stop short of full convergence: the out-of-fold score judges what came out.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(design, y, sample_weight=w)
    return LinearMember(adapters, model.coef_.T.copy(), model.intercept_.copy(), [int(c) for c in present], classes)


def _numbers(
    adapters: list[ColumnAdapter], design: Array, y: Array, w: Array, strength: float, ratio: float
) -> LinearMember:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import ElasticNet, Ridge

    spread = float(y.std()) or 1.0
    model: Any = Ridge(alpha=strength, solver="cholesky", copy_X=False)
    if ratio:
        # Its penalty is per row and in the target's unit; ridge's is for all rows together and in none.
        share = strength * (spread * ratio + (1.0 - ratio)) / len(y)
        model = ElasticNet(alpha=share, l1_ratio=ratio, max_iter=SPARSE_ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # as above
        model.fit(design, y, sample_weight=w)
    # Beyond the range of y in training (and half of it again) a linear prediction is an accident of extrapolation.
    low, high = float(y.min()), float(y.max())
    reach = 0.5 * (high - low)
    coefficients = np.asarray(model.coef_, dtype=np.float64).reshape(-1, 1)
    return LinearMember(
        adapters, coefficients, np.atleast_1d(np.float64(model.intercept_)), [], 0, (low - reach, high + reach)
    )
