"""One decision tree with minimal cost-complexity pruning: scikit-learn's, exported to plain arrays."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from pipelines.algorithms.base import FIXED_BYTES, Dataset, Family, FitContext, Fitted, Params, TaskInfo, matrix_bytes
from pipelines.algorithms.forest import export, leaf_values, single
from pipelines.inference.trees.forests import DecisionTreeMember


class DecisionTree(Family):
    """One tree, grown and then pruned: of all its subtrees the smallest that ``complexity`` allows.

    ``complexity`` is the share of the root's impurity that a split must at least take away for each leaf that it adds;
    it means the same on any target, however large its numbers. A leaf's value is the mean of its rows and of
    ``smoothing`` rows that are as all rows are (m-estimate), so that a small pure leaf is not certain.

    Notes
    -----
    Breiman, Friedman, Olshen, Stone: Classification and Regression Trees (1984), chapter 3. Zadrozny, Elkan: Obtaining
    calibrated probability estimates from decision trees, ICML 2001.
    """

    name: ClassVar[str] = "decision_tree"

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a middling and a small tree."""
        leaf = int(np.clip(shape.rows // 300, 3, 50))
        first = {"complexity": 1e-3, "min_samples_leaf": leaf, "max_depth": 12, "smoothing": 5.0}
        return first, {**first, "complexity": 5e-3}

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {
            "complexity": FloatDistribution(1e-6, 3e-2, log=True),
            "min_samples_leaf": IntDistribution(1, 200, log=True),
            "max_depth": IntDistribution(3, 24),
            "smoothing": FloatDistribution(0.1, 50.0, log=True),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Grow and prune; ``valid`` is not used."""
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        context.limit.check()
        options: Params = {
            "min_samples_leaf": int(params["min_samples_leaf"]),
            "max_depth": int(params["max_depth"]),
            "ccp_alpha": float(params["complexity"]) * impurity(train, shape),
            "random_state": context.seed,
        }
        model: Any = (DecisionTreeClassifier if shape.classes else DecisionTreeRegressor)(**options)
        model.fit(single(train.X), train.y, sample_weight=train.w)
        context.limit.check()
        present = model.classes_.astype(np.intp) if shape.classes else None
        unit = float(train.w.mean())

        def smoothed(number: int, tree: Any, leaf: Any) -> Any:
            own, weight = tree.value[leaf, 0, :], tree.weighted_n_node_samples[leaf, None] / unit
            mixed = (own * weight + tree.value[0] * params["smoothing"]) / (weight + params["smoothing"])
            return leaf_values(mixed, present, shape.classes)

        member = export([model], present, shape.classes, DecisionTreeMember, leaves=smoothed)
        return Fitted(self.name, member, {"leaves": float(model.get_n_leaves())})

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the rows in single precision and the full tree."""
        return FIXED_BYTES + matrix_bytes(shape) // 2 + 200 * shape.rows


def impurity(rows: Dataset, shape: TaskInfo) -> float:
    """Return the root's impurity: Gini's of the classes, or the variance."""
    if not shape.classes:
        return float(np.average((rows.y - np.average(rows.y, weights=rows.w)) ** 2, weights=rows.w))
    shares = np.bincount(rows.y.astype(np.intp), weights=rows.w) / rows.w.sum()
    return float(1.0 - (shares**2).sum())
