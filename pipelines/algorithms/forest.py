"""What scikit-learn's forests and trees have in common: growing in steps, and export to plain arrays."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from pipelines.algorithms.base import (
    FIXED_BYTES,
    Array,
    Dataset,
    Family,
    FitContext,
    Fitted,
    Params,
    TaskInfo,
    matrix_bytes,
)
from pipelines.inference.trees.forests import TreesMember

TREES = 100
STEP = 10
MODEL_BYTES = 10_000_000
NODE_BYTES = 19
"""Bytes of one node: feature 2, threshold 8, children 8, missing 1."""
LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond it are infinite to scikit-learn's trees, which refuse them."""
MAX_SAMPLES = 100_000
"""A tree sees at most this many rows."""


class Forest(Family):
    """Trees grown independently, whose leaves are kept large enough that a stored member stays below about 20 MB."""

    member: ClassVar[type[TreesMember]] = TreesMember

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a smooth and a sharp configuration."""
        share = 0.6 if shape.task != "regression" else 0.9
        first = {"max_features": share, "min_samples_leaf": 3, "criterion": "first"}
        return first, {"max_features": 1.0, "min_samples_leaf": 1, "criterion": "second"}

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space; ``criterion`` is gini or entropy, for a regression squared error either way."""
        return {
            "max_features": FloatDistribution(0.2, 1.0),
            "min_samples_leaf": IntDistribution(1, 30, log=True),
            "criterion": CategoricalDistribution(("first", "second")),
        }

    @abstractmethod
    def estimator(self, classes: int, rows: int, options: Params) -> Any:
        """Return scikit-learn's unfitted forest for that many classes, 0 for a regression."""

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Grow trees in steps until there are ``TREES`` of them or the limit comes; ``valid`` is not used."""
        outputs = shape.outputs if shape.classes != 2 else 1
        sampled = min(len(train.y), MAX_SAMPLES)
        leaves = int(MODEL_BYTES / TREES / (2 * NODE_BYTES + 8 * outputs))
        options: Params = {
            "n_estimators": STEP,
            "max_features": float(params["max_features"]),
            "min_samples_leaf": max(int(params["min_samples_leaf"]), -(-sampled // (2 * leaves))),
            "random_state": context.seed,
            "n_jobs": context.threads,
            "warm_start": True,
        }
        if shape.classes:
            options["criterion"] = {"first": "gini", "second": "entropy"}[params["criterion"]]
        model = self.estimator(shape.classes, len(train.y), options)
        X = single(train.X)
        # Steps are there to look at the clock between them; each costs a pass over the rows.
        timed = context.limit.soft is not None or context.limit.hard is not None
        for grown in range(STEP, TREES + 1, STEP) if timed else (TREES,):
            context.limit.check()
            model.set_params(n_estimators=grown)
            model.fit(X, train.y, sample_weight=train.w)
            if context.limit.ripe():
                break
        member = export(model.estimators_, model.classes_ if shape.classes else None, shape.classes, self.member)
        return Fitted(self.name, member, {"trees": float(len(model.estimators_))})

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the rows in single precision, an order of them, and the trees while they are scikit-learn's."""
        return FIXED_BYTES + matrix_bytes(shape) // 2 + 32 * shape.rows + 8 * MODEL_BYTES


def single(X: Array) -> Any:
    """Return the rows in single precision, as scikit-learn's trees read them, infinities cut off."""
    return np.clip(X, -LARGEST, LARGEST).astype(np.float32)


def export(estimators: Any, present: Any, classes: int, member: type[TreesMember] = TreesMember, **options: Any) -> Any:
    """Turn scikit-learn's fitted trees into plain arrays; equal to their mean prediction to 1e-12.

    Parameters
    ----------
    estimators
        Decision trees of scikit-learn.
    present
        The classes they were fitted with; not read for a regression.
    classes
        All classes, 0 for a regression.
    options
        Further parameters of the member. ``leaves(number, tree, mask)`` gives the (leaves, outputs) values of a tree
        where they are not the tree's own.
    """
    parts: dict[str, list[Any]] = {name: [] for name in ("feature", "threshold", "left", "right", "nan_left", "values")}
    leaves = options.pop("leaves", None)
    roots, base = [], 0
    known = np.asarray(present, dtype=np.intp) if classes else np.zeros(1, dtype=np.intp)
    for number, estimator in enumerate(estimators):
        tree = estimator.tree_
        nodes = np.arange(base, base + tree.node_count, dtype=np.int32)
        leaf = tree.children_left < 0
        parts["feature"].append(np.where(leaf, 0, tree.feature).astype(np.int32))
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        parts["left"].append(np.where(leaf, nodes, tree.children_left.astype(np.int32) + base).astype(np.int32))
        parts["right"].append(np.where(leaf, nodes, tree.children_right.astype(np.int32) + base).astype(np.int32))
        parts["nan_left"].append(tree.missing_go_to_left.astype(bool) & ~leaf)
        own = tree.value[leaf, 0, :]
        parts["values"].append(leaf_values(own, known, classes) if leaves is None else leaves(number, tree, leaf))
        roots.append(base)
        base += tree.node_count
    arrays = {name: np.concatenate(values) for name, values in parts.items()}
    return member(
        feature=arrays["feature"],
        threshold=arrays["threshold"],
        left=arrays["left"],
        right=arrays["right"],
        nan_left=arrays["nan_left"],
        leaf_values=arrays["values"],
        roots=np.asarray(roots, dtype=np.int32),
        depth=max(int(estimator.tree_.max_depth) for estimator in estimators),
        classes=classes,
        **options,
    )


def leaf_values(values: Array, present: Any, classes: int) -> Array:
    """Return the values of leaves: the mean, or probabilities of all classes (of class 1 alone when there are two)."""
    if classes == 0:
        return values
    total = values.sum(axis=1, keepdims=True)
    total[total == 0.0] = 1.0
    full = np.zeros((len(values), classes))
    full[:, present] = values / total
    return full[:, 1:] if classes == 2 else full
