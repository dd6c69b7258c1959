"""A forest of decision trees as plain arrays: scikit-learn's extra trees without scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CHUNK = 512


class TreesMember:
    """The mean of many trees.

    All trees lie behind each other in flat arrays over nodes. A node sends a row left if its feature, rounded to
    float32 as scikit-learn does, is at most ``threshold``, and as ``nan_left`` says if it is NaN. A leaf is its own
    child, so walking ``depth`` steps ends at the leaf whatever its depth.

    Parameters
    ----------
    feature, threshold, left, right, nan_left
        One value per node; ``left`` and ``right`` are node numbers.
    values
        (nodes, outputs) answer of each leaf; rows of inner nodes are not read.
    roots
        Node number of each tree's root.
    depth
        Depth of the deepest tree.
    classes
        0 for regression.
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
    ) -> None:
        self.feature, self.threshold, self.nan_left = feature, threshold, nan_left
        self.left, self.right, self.leaf_values, self.roots = left, right, leaf_values, roots
        self.depth, self.classes = depth, classes
        # Leaves are the nodes that are their own child; their answers are stored in node order.
        self._leaf_of = np.cumsum(left == np.arange(len(left), dtype=np.int32)) - 1
        self._children = np.column_stack([right, left]).astype(np.intp).ravel()

    def predict(self, X: Array) -> Array:
        """Predict in blocks of rows that fit the processor's cache."""
        with np.errstate(over="ignore"):  # what is too large is larger than any threshold
            X32 = np.ascontiguousarray(X, dtype=np.float32)
        blocks = [self._predict_block(X32[start : start + CHUNK]) for start in range(0, len(X32), CHUNK)]
        if not blocks:
            return np.empty((0,) if self.classes == 0 else (0, self.classes))
        out = np.concatenate(blocks)
        return out[:, 0] if self.classes == 0 else out

    def _predict_block(self, X: NDArray[np.float32]) -> Array:
        rows, columns = X.shape
        flat = X.ravel()
        missing = np.isnan(flat) if np.isnan(X).any() else None
        node = np.broadcast_to(self.roots.astype(np.intp), (rows, len(self.roots))).copy()
        offset = (np.arange(rows, dtype=np.intp) * columns)[:, None]
        for _ in range(self.depth):
            cell = offset + self.feature[node]
            goes_left = flat[cell] <= self.threshold[node]
            if missing is not None:
                goes_left |= missing[cell] & self.nan_left[node]
            node = self._children[2 * node + goes_left]
        values = self.leaf_values[self._leaf_of[node]]
        total: Array = values.mean(axis=1)
        if self.classes == 2:
            return np.column_stack([1.0 - total[:, 0], total[:, 0]])
        return total

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the arrays; the compressed file has the same bytes for the same trees."""
        path = folder / f"{stem}.npz"
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
        )
        spec = {"family": self.family, "file": path.name, "classes": self.classes, "depth": self.depth}
        return {**spec, "trees": len(self.roots)}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> TreesMember:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        arrays["feature"] = arrays["feature"].astype(np.int32)
        return cls(**arrays, depth=int(spec["depth"]), classes=int(spec["classes"]))
