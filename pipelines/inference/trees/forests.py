"""Forests and committees of decision trees as plain arrays: scikit-learn's trees without scikit-learn."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.members.linear import sigmoid, softmax
from pipelines.inference.trees.fast_predict import LEAF, Walker
from pipelines.inference.trees.lightgbm_format import Nodes, booster_text

Array = NDArray[np.float64]
RULES = ("mean", "scores", "median")


class TreesMember:
    """Many trees and how their leaves become one prediction.

    All trees lie behind each other in flat arrays over nodes. A node sends a row left if its feature, rounded to
    float32 as scikit-learn does, is at most ``threshold``, and as ``nan_left`` says if it is NaN. A leaf is its own
    child. LightGBM's runtime walks the trees; what the leaves mean is read here.

    Parameters
    ----------
    feature, threshold, left, right, nan_left
        One value per node; ``left`` and ``right`` are node numbers.
    leaf_values
        (leaves, outputs) in node order.
    roots
        Node number of each tree's root.
    depth
        Depth of the deepest tree.
    classes
        0 for regression.
    rule
        ``mean`` of the leaves: numbers, or probabilities (of class 1 alone when there are two). ``scores``: their sum
        and ``bias`` are scores, that a logistic function or a softmax turns into probabilities. ``median`` of the
        leaves, each tree counting ``tree_weights``.
    bias
        (outputs,) for ``scores``.
    tree_weights
        (trees,) for ``median``.
    """

    family: ClassVar[str] = "extra_trees"

    def __init__(
        self,
        feature: NDArray[np.int32],
        threshold: Array,
        left: NDArray[np.int32],
        right: NDArray[np.int32],
        nan_left: NDArray[np.bool_],
        leaf_values: Array,
        roots: NDArray[np.int32],
        depth: int,
        classes: int,
        rule: str = "mean",
        bias: Array | None = None,
        tree_weights: Array | None = None,
    ) -> None:
        self.feature, self.threshold, self.nan_left = feature, threshold, nan_left
        self.left, self.right, self.leaf_values, self.roots = left, right, leaf_values, roots
        self.depth, self.classes, self.rule = depth, classes, rule
        self.bias, self.tree_weights = bias, tree_weights
        self._is_leaf = left == np.arange(len(left), dtype=np.int32)
        self._starts = np.concatenate([[0], np.cumsum(self._is_leaf)])[roots]  # the first leaf of each tree
        self._lock = threading.Lock()
        self._made: Walker | None = None

    def predict(self, X: Array) -> Array:
        """Predict; a row's prediction is the same alone and among others."""
        if not len(X):
            return np.empty((0,) if self.classes == 0 else (0, self.classes))
        with np.errstate(over="ignore"):  # what is too large is larger than any threshold
            rows = np.asarray(X, dtype=np.float32).astype(np.float64)
        reached = self._walker(rows.shape[1]).walk(rows).astype(np.intp)
        reached += self._starts
        total = self._combine(reached)
        if self.classes == 0:
            return total[:, 0]
        if self.rule == "scores":
            total = sigmoid(total) if self.classes == 2 else softmax(total)
        return np.column_stack([1.0 - total[:, 0], total[:, 0]]) if self.classes == 2 else total

    def _combine(self, reached: NDArray[np.intp]) -> Array:
        """Return (n, outputs) from the leaves (n, trees) reached, summed in the order of the trees."""
        outputs = self.leaf_values.shape[1]
        out = np.empty((len(reached), outputs))
        if self.rule == "median":
            return _weighted_median(self.leaf_values[:, 0][reached], self.tree_weights)[:, None]
        for output in range(outputs):
            np.add.reduce(self.leaf_values[:, output][reached.T], axis=0, out=out[:, output])
        if self.rule == "mean":
            out /= reached.shape[1]
        elif self.bias is not None:
            out += self.bias
        return out

    def _walker(self, columns: int) -> Walker:
        """Return the runtime; made at the first question, since its text takes longer to read than the arrays."""
        with self._lock:
            if self._made is None:
                import lightgbm

                text = booster_text(self._nodes(), columns=columns)
                self._made = Walker(lightgbm.Booster(model_str=text), len(self.roots), LEAF)
            return self._made

    def _nodes(self) -> list[Nodes]:
        ends = [*self.roots[1:].tolist(), len(self.feature)]
        values = np.zeros(len(self.feature))
        trees = []
        for start, end in zip(self.roots.tolist(), ends, strict=True):
            part = slice(start, end)
            trees.append(
                Nodes(
                    self.feature[part],
                    self.threshold[part],
                    self.left[part] - start,
                    self.right[part] - start,
                    self.nan_left[part],
                    self._is_leaf[part],
                    values[part],
                )
            )
        return trees

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the arrays; the compressed file has the same bytes for the same trees."""
        path = folder / f"{stem}.npz"
        optional = {"bias": self.bias, "tree_weights": self.tree_weights}
        np.savez_compressed(
            path,
            allow_pickle=False,
            feature=self.feature.astype(np.int16 if self.feature.max(initial=0) < 2**15 else np.int32),
            threshold=self.threshold,
            left=self.left,
            right=self.right,
            nan_left=self.nan_left,
            leaf_values=self.leaf_values,
            roots=self.roots,
            **{name: array for name, array in optional.items() if array is not None},
        )
        spec = {"family": self.family, "file": path.name, "classes": self.classes, "depth": self.depth}
        return {**spec, "trees": len(self.roots), "rule": self.rule}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> Self:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        arrays["feature"] = arrays["feature"].astype(np.int32)
        rule = str(spec.get("rule", "mean"))
        return cls(**arrays, depth=int(spec["depth"]), classes=int(spec["classes"]), rule=rule)


class RandomForestMember(TreesMember):
    """A random forest."""

    family: ClassVar[str] = "random_forest"


class DecisionTreeMember(TreesMember):
    """One tree."""

    family: ClassVar[str] = "decision_tree"


class AdaBoostMember(TreesMember):
    """Small trees, each learned where the ones before it failed."""

    family: ClassVar[str] = "adaboost"


def _weighted_median(values: Array, weights: Array | None) -> Array:
    """Return the smallest of (n, trees) values at which half of the trees' weight is reached (AdaBoost.R2)."""
    counted = np.ones(values.shape[1]) if weights is None else weights
    order = np.argsort(values, axis=1, kind="stable")
    passed = np.cumsum(counted[order], axis=1)
    middle = (passed >= 0.5 * passed[:, -1:]).argmax(axis=1)
    rows = np.arange(len(values))
    return np.asarray(values[rows, order[rows, middle]])
