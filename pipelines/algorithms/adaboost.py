"""AdaBoost on small trees: scikit-learn's, exported to plain arrays, with probabilities that are calibrated."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from pipelines.algorithms.base import FIXED_BYTES, Array, Dataset, Family, FitContext, Fitted, Limit, Params, TaskInfo
from pipelines.algorithms.forest import LARGEST, export, single
from pipelines.algorithms.platt_calibration import calibrate, held_back, votes
from pipelines.inference.trees.forests import AdaBoostMember

FEW_TREES = 5
MAX_ROWS = 100_000
"""More rows than this are thinned by a fixed step."""


class AdaBoost(Family):
    """Small trees, each grown where the ones before it failed (SAMME; R2, a median, for a regression).

    The committee's votes are no probabilities: a logistic regression on the votes, learned from rows held back from
    the committee that it is learned for, turns them into some.
    """

    name: ClassVar[str] = "adaboost"

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a committee of small trees and one of stumps."""
        first = {"trees": 100, "learning_rate": 0.5, "max_depth": 3 if shape.classes else 6}
        return first, {"trees": 200, "learning_rate": 1.0, "max_depth": 1 if shape.classes else 4}

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {
            "trees": IntDistribution(20, 300, log=True),
            "learning_rate": FloatDistribution(0.02, 1.5, log=True),
            "max_depth": IntDistribution(1, 8),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Grow the committee, for classes twice: once for the votes of rows held back; ``valid`` is not used."""
        context.limit.check()
        step = -(-len(train.y) // MAX_ROWS)
        rows = Dataset(train.X[::step], train.y[::step], train.w[::step])
        if not shape.classes:
            model = _grow(params, rows, 0, context.seed, context.limit)
            weights = np.asarray(model.estimator_weights_[: len(model.estimators_)])
            member = export(model.estimators_, None, 0, AdaBoostMember, rule="median", tree_weights=weights)
            member.nan_left[:] = True
            return Fitted(self.name, member, {"trees": float(len(model.estimators_))})
        learn, judge = held_back(rows.y, context.seed)
        model = _grow(params, Dataset(*(side[learn] for side in rows)), shape.classes, context.seed, context.limit)
        scores = _scores(model, _input(rows.X[judge]))
        scale, bias = calibrate(scores, rows.y[judge], rows.w[judge], model.classes_.astype(np.intp), shape.classes)
        if not learn.all():
            model = _grow(params, rows, shape.classes, context.seed, context.limit)
        shares = _shares(model)

        def scored(number: int, tree: Any, leaf: Any) -> Any:
            return shares[number] * votes(tree.value[leaf, 0, :], len(model.classes_)) @ scale

        member = export(
            model.estimators_, model.classes_, shape.classes, AdaBoostMember, rule="scores", bias=bias, leaves=scored
        )
        member.nan_left[:] = True
        return Fitted(self.name, member, {"trees": float(len(model.estimators_))})

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the rows in single precision, an order of them, and the votes."""
        return FIXED_BYTES + min(MAX_ROWS, shape.rows) * (16 * len(shape.kinds) + 64 * shape.outputs)


def _input(X: Array) -> Any:
    """Return the rows as scikit-learn's AdaBoost wants them: what is missing is below every number."""
    return np.where(np.isnan(X), np.float32(-LARGEST), single(X))


def _grow(params: Params, rows: Dataset, classes: int, seed: int, limit: Limit) -> Any:
    """Grow scikit-learn's committee, fewer trees when the limit comes."""
    from sklearn import ensemble
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind: Any = ensemble.AdaBoostClassifier if classes else ensemble.AdaBoostRegressor

    class Watched(kind):  # type: ignore[misc]  # scikit-learn ships no types
        def _boost(self, iboost: int, *rest: Any) -> Any:
            limit.check()
            return (None, None, None) if iboost >= FEW_TREES and limit.ripe() else super()._boost(iboost, *rest)

    tree: Any = (DecisionTreeClassifier if classes else DecisionTreeRegressor)(max_depth=int(params["max_depth"]))
    model = Watched(
        tree, n_estimators=int(params["trees"]), learning_rate=float(params["learning_rate"]), random_state=seed
    )
    return model.fit(_input(rows.X), rows.y, sample_weight=rows.w / rows.w.mean())


def _shares(model: Any) -> Any:
    weights = np.asarray(model.estimator_weights_[: len(model.estimators_)], dtype=np.float64)
    return weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1.0 / len(weights))


def _scores(model: Any, X: Any) -> Any:
    """Return (n, k) weighted votes of the trees."""
    shares = _shares(model)
    every = [votes(tree.tree_.predict(X)[:, : len(model.classes_)], len(model.classes_)) for tree in model.estimators_]
    return np.einsum("t,tnk->nk", shares, np.asarray(every))
