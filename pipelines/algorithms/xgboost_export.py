"""A fitted XGBoost model as LightGBM's text; see ``pipelines.inference.members.boosters``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.algorithms.base import Array, ClassIndices, TaskInfo
from pipelines.inference.members.boosters import XGBoostMember
from pipelines.inference.trees.lightgbm_format import Nodes, booster_text

MISSING_CODE = 0.0
"""XGBoost's categories start at 0: codes are counted from 1 and the missing one is 0."""
NEVER = -30.0
"""Score of a class that the rows did not have; its probability is below 1e-12."""
POISSON = "count:poisson"
COVER = 100.0
"""Covers are sums of hessians, which LightGBM keeps as whole numbers: this many to one."""


def export(booster: Any, shape: TaskInfo, present: ClassIndices, native: Sequence[int]) -> XGBoostMember:
    """Return a member with the predictions of ``booster``, to single precision.

    Parameters
    ----------
    booster
        ``xgboost.Booster``; None where there is only one class.
    present
        The classes that it knows, as indices among ``shape.classes``; empty for a regression.
    native
        Columns that it took as categories.
    """
    import lightgbm

    trees: list[Nodes] = []
    wide = shape.classes > 2
    base = np.zeros(max(1, len(present) if wide else 1))
    number = "custom"
    if booster is not None:
        learner = json.loads(booster.save_raw("json"))["learner"]
        base[:] = _margin(learner)
        number = "poisson" if learner["objective"]["name"] == POISSON else "custom"
        stored = learner["gradient_booster"]["model"]["trees"]
        cards = dict.fromkeys(native, 0) | {index: shape.cardinality[index] for index in native}
        trees = [_nodes(tree, cards) for tree in stored]
    if wide:
        trees = _with_absent(trees, base, present, shape.classes)
    elif len(present) == 1:
        trees = [_leaf(-NEVER if present[0] == 1 else NEVER)]
    else:
        trees[0] = _moved(trees[0], float(base[0]))
    objective = f"multiclass num_class:{shape.classes}" if wide else "binary sigmoid:1" if shape.classes else number
    text = booster_text(trees, columns=len(shape.kinds), objective=objective, outputs=shape.classes if wide else 1)
    return XGBoostMember(lightgbm.Booster(model_str=text), shape.classes)


def _margin(learner: dict[str, Any]) -> Array:
    """Return the score that boosting started from; XGBoost stores a logistic one as a probability."""
    base = np.atleast_1d(np.asarray(json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float64))
    if learner["objective"]["name"] == "binary:logistic":
        base = np.clip(base, 1e-7, 1.0 - 1e-7)
        return np.asarray(np.log(base) - np.log1p(-base))
    if learner["objective"]["name"] == POISSON:
        return np.asarray(np.log(np.maximum(base, 1e-16)))
    return base


def _with_absent(trees: list[Nodes], base: Array, present: ClassIndices, classes: int) -> list[Nodes]:
    """Return as many trees per iteration as there are classes; absent ones have a leaf that rules them out."""
    known = len(present)
    rounds = max(1, len(trees) // max(1, known))
    index_of = {int(label): index for index, label in enumerate(present)}
    laid = []
    for iteration in range(rounds):
        for label in range(classes):
            number = index_of.get(label)
            if number is None:
                laid.append(_leaf(NEVER if iteration == 0 else 0.0))
            elif not trees:
                laid.append(_leaf(0.0))
            else:
                tree = trees[iteration * known + number]
                laid.append(_moved(tree, float(base[number])) if iteration == 0 else tree)
    return laid


def _leaf(value: float) -> Nodes:
    none, no = np.zeros(1, dtype=np.int32), np.zeros(1, dtype=bool)
    return Nodes(none, np.zeros(1), none, none, no, ~no, np.array([value]))


def _moved(tree: Nodes, by: float) -> Nodes:
    return Nodes(**{**tree.__dict__, "value": tree.value + by})


def _nodes(tree: dict[str, Any], cards: dict[int, int]) -> Nodes:
    """Turn one tree of XGBoost's JSON.

    It sends numbers *below* the condition to the left: that is, at most the next smaller single. It sends the codes of
    a set to the *right*; the set may hold the missing code, which LightGBM always sends right, and is then turned
    round, so that codes beyond the known ones go right there too.
    """
    left, right = (np.array(tree[f"{side}_children"], dtype=np.int32) for side in ("left", "right"))
    leaf = left < 0
    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    feature = np.array(tree["split_indices"], dtype=np.int32)
    sets: dict[int, Any] = {}
    for node, start, size in zip(
        tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        codes = np.array(tree["categories"][start : start + size], dtype=np.int64)
        if (codes == MISSING_CODE).any():
            codes = np.setdiff1d(np.arange(1, cards[int(feature[node])] + 1), codes)
        else:
            left[node], right[node] = right[node], left[node]
        sets[int(node)] = codes - 1
    return Nodes(
        feature=feature,
        threshold=np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64),
        left=left,
        right=right,
        nan_left=np.array(tree["default_left"], dtype=bool),
        leaf=leaf,
        value=conditions.astype(np.float64),
        cover=COVER * np.array(tree["sum_hessian"], dtype=np.float64),
        categories=sets,
    )
