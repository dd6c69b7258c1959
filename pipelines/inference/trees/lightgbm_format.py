"""Trees of any library as LightGBM's text, so that one fast runtime walks them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Whole = NDArray[np.int32]
_CATEGORICAL, _DEFAULT_LEFT, _NAN_IS_MISSING = 1, 2, 8
"""Bits of LightGBM's ``decision_type``."""


@dataclass(frozen=True)
class Nodes:
    """One tree, its root first.

    A node sends a row left if its feature is at most ``threshold``, and as ``nan_left`` says if it is NaN. Where
    ``categories`` has an entry it sends the row left if the feature is one of these codes, and right if it is none of
    them, negative or NaN.

    Parameters
    ----------
    feature, threshold, left, right, nan_left
        One value per node; children are node numbers. Those of a leaf are not read.
    leaf
        (nodes,) whether it is a leaf.
    value
        (nodes,) value of a leaf; not used elsewhere.
    cover
        (nodes,) weight of the rows that it was learned from, for explanations; None: not known.
    """

    feature: Whole
    threshold: Array
    left: Whole
    right: Whole
    nan_left: NDArray[np.bool_]
    leaf: NDArray[np.bool_]
    value: Array
    cover: Array | None = None
    categories: dict[int, NDArray[np.int64]] | None = None


def booster_text(trees: list[Nodes], *, columns: int, objective: str = "custom", outputs: int = 1) -> str:
    """Return the text that ``lightgbm.Booster(model_str=…)`` reads.

    Parameters
    ----------
    columns
        Columns of a row.
    objective
        What turns the sum of leaves into a prediction: ``binary sigmoid:1``, ``multiclass num_class:3``, ``custom``
        (nothing) …
    outputs
        Sums; tree i counts for sum ``i % outputs``.
    """
    blocks = [f"Tree={number}\n{_tree(tree)}\n\n" for number, tree in enumerate(trees)]
    head = {
        "version": "v4",
        "num_class": outputs,
        "num_tree_per_iteration": outputs,
        "label_index": 0,
        "max_feature_idx": columns - 1,
        "objective": objective,
        "feature_names": _words(f"c{index}" for index in range(columns)),
        "feature_infos": _words(["none"] * columns),
        "tree_sizes": _words(len(block) for block in blocks),
    }
    lines = "".join(f"{name}={value}\n" for name, value in head.items())
    return f"tree\n{lines}\n{''.join(blocks)}end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n"


def _tree(tree: Nodes) -> str:
    inner = ~tree.leaf
    values = tree.value[tree.leaf]
    if len(values) == 1:
        return _lines({"num_leaves": 1, "num_cat": 0, "leaf_value": repr(float(values[0])), "shrinkage": 1})
    # LightGBM numbers inner nodes from 0 and leaves from -1 downwards.
    code = np.where(tree.leaf, -1 * np.cumsum(tree.leaf), np.cumsum(inner) - 1)
    kind = np.where(tree.nan_left[inner], _DEFAULT_LEFT | _NAN_IS_MISSING, _NAN_IS_MISSING)
    threshold = tree.threshold[inner].copy()
    fields: dict[str, Any] = {"num_leaves": len(values), "num_cat": 0}
    sets = tree.categories or {}
    if sets:
        position = np.cumsum(inner) - 1
        boundaries, words = [0], []
        for number, (node, codes) in enumerate(sorted(sets.items())):
            kind[position[node]], threshold[position[node]] = _CATEGORICAL, number
            bits = _bits(codes)
            words.extend(bits)
            boundaries.append(boundaries[-1] + len(bits))
        fields["num_cat"] = len(sets)
    cover = np.ones(len(tree.leaf)) if tree.cover is None else tree.cover
    counts = np.maximum(1, np.round(cover)).astype(np.int64)
    fields |= {
        "split_feature": _words(tree.feature[inner].tolist()),
        "split_gain": _words([0] * int(inner.sum())),
        "threshold": _words(map(repr, threshold.tolist())),
        "decision_type": _words(kind.tolist()),
        "left_child": _words(code[tree.left[inner]].tolist()),
        "right_child": _words(code[tree.right[inner]].tolist()),
        "leaf_value": _words(map(repr, values.tolist())),
        "leaf_weight": _words(map(repr, cover[tree.leaf].tolist())),
        "leaf_count": _words(counts[tree.leaf].tolist()),
        "internal_value": _words([0] * int(inner.sum())),
        "internal_weight": _words(map(repr, cover[inner].tolist())),
        "internal_count": _words(counts[inner].tolist()),
    }
    if sets:
        fields |= {"cat_boundaries": _words(boundaries), "cat_threshold": _words(words)}
    return _lines({**fields, "is_linear": 0, "shrinkage": 1})


def _bits(codes: NDArray[np.int64]) -> list[int]:
    """Return a set of codes as 32-bit words."""
    words = [0] * (int(codes.max(initial=0)) // 32 + 1)
    for code in codes.tolist():
        words[code // 32] |= 1 << (code % 32)
    return words


def _words(values: Any) -> str:
    return " ".join(map(str, values))


def _lines(fields: dict[str, Any]) -> str:
    return "".join(f"{name}={value}\n" for name, value in fields.items())
