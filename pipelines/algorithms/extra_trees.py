"""Extremely randomised trees: scikit-learn's, exported to plain arrays."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from pipelines.algorithms.base import Array, Family, Fitted, Limit, Params, Part, Shape
from pipelines.inference.trees import TreesMember

TREES = 100
STEP = 10
MODEL_BYTES = 10_000_000
NODE_BYTES = 19
"""Bytes of one node: feature 2, threshold 8, children 8, missing 1."""
LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond it are infinite to scikit-learn's trees, which refuse them."""
MAX_SAMPLES = 100_000
"""A tree sees at most this many rows."""


class ExtraTrees(Family):
    """Extra trees, whose leaves are kept large enough that a stored member stays below about 20 MB."""

    name: ClassVar[str] = "extra_trees"

    def portfolio(self, shape: Shape) -> tuple[Params, ...]:
        """Give a smooth and a sharp configuration."""
        share = 0.6 if shape.task != "regression" else 0.9
        first = {"max_features": share, "min_samples_leaf": 3, "criterion": "first"}
        return first, {"max_features": 1.0, "min_samples_leaf": 1, "criterion": "second"}

    def space(self, shape: Shape) -> dict[str, BaseDistribution]:
        """Give the search space; ``criterion`` is gini or entropy, for a regression squared error either way."""
        return {
            "max_features": FloatDistribution(0.2, 1.0),
            "min_samples_leaf": IntDistribution(1, 30, log=True),
            "criterion": CategoricalDistribution(("first", "second")),
        }

    def fit(
        self, params: Params, train: Part, valid: Part | None, shape: Shape, *,
        seed: int, threads: int, limit: Limit, device: str = "cpu",
    ) -> Fitted:  # fmt: skip
        """Grow trees in steps until there are ``TREES`` of them or the limit comes; ``valid`` is not used."""
        outputs = shape.outputs if shape.classes != 2 else 1
        seen = min(len(train.y), MAX_SAMPLES)
        leaves = int(MODEL_BYTES / TREES / (2 * NODE_BYTES + 8 * outputs))
        options: Params = {
            "n_estimators": STEP, "max_features": float(params["max_features"]),
            "min_samples_leaf": max(int(params["min_samples_leaf"]), -(-seen // (2 * leaves))),
            "random_state": seed, "n_jobs": threads, "warm_start": True,
        }  # fmt: skip
        if len(train.y) > MAX_SAMPLES:
            options |= {"bootstrap": True, "max_samples": MAX_SAMPLES}
        if shape.classes:
            criterion = {"first": "gini", "second": "entropy"}[params["criterion"]]
            model: Any = ExtraTreesClassifier(criterion=criterion, **options)
        else:
            model = ExtraTreesRegressor(**options)
        X = np.clip(train.X, -LARGEST, LARGEST).astype(np.float32)
        # Steps are there to look at the clock between them; each costs a pass over the rows.
        timed = limit.soft is not None or limit.hard is not None
        for grown in range(STEP, TREES + 1, STEP) if timed else (TREES,):
            limit.check()
            model.set_params(n_estimators=grown)
            model.fit(X, train.y, sample_weight=train.w)
            if limit.ripe():
                break
        return Fitted(self.name, export(model, shape.classes), {"trees": float(len(model.estimators_))})


def export(model: Any, classes: int) -> TreesMember:
    """Turn a fitted forest of scikit-learn into plain arrays; equal to its own answers to 1e-12."""
    parts: dict[str, list[Any]] = {name: [] for name in ("feature", "threshold", "left", "right", "nan_left", "values")}
    roots, base = [], 0
    present = np.asarray(model.classes_, dtype=np.intp) if classes else np.zeros(1, dtype=np.intp)
    for estimator in model.estimators_:
        tree = estimator.tree_
        nodes = np.arange(base, base + tree.node_count, dtype=np.int32)
        leaf = tree.children_left < 0
        parts["feature"].append(np.where(leaf, 0, tree.feature).astype(np.int32))
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        parts["left"].append(np.where(leaf, nodes, tree.children_left.astype(np.int32) + base).astype(np.int32))
        parts["right"].append(np.where(leaf, nodes, tree.children_right.astype(np.int32) + base).astype(np.int32))
        parts["nan_left"].append(tree.missing_go_to_left.astype(bool) & ~leaf)
        parts["values"].append(_leaf_values(tree.value[leaf, 0, :], present, classes))
        roots.append(base)
        base += tree.node_count
    arrays = {name: np.concatenate(values) for name, values in parts.items()}
    return TreesMember(
        feature=arrays["feature"],
        threshold=arrays["threshold"],
        left=arrays["left"],
        right=arrays["right"],
        nan_left=arrays["nan_left"],
        leaf_values=arrays["values"],
        roots=np.asarray(roots, dtype=np.int32),
        depth=max(int(estimator.tree_.max_depth) for estimator in model.estimators_),
        classes=classes,
    )


def _leaf_values(values: Array, present: Any, classes: int) -> Array:
    """Give a leaf's answer: the mean, or probabilities of all classes (of class 1 alone when there are two)."""
    if classes == 0:
        return values
    total = values.sum(axis=1, keepdims=True)
    total[total == 0.0] = 1.0
    full = np.zeros((len(values), classes))
    full[:, present] = values / total
    return full[:, 1:] if classes == 2 else full
