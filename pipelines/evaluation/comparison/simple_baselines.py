"""Simple models on the same rows: what a linear one reaches, and what more rows would bring."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms.base import Dataset, FitContext, TaskInfo
from pipelines.algorithms.families import family
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.metrics import METRICS

Array = NDArray[np.float64]
MOST_ROWS = 20_000
STEPS = (16, 8, 4, 2, 1)
LEAST_ROWS = 50
ROUNDS = 60
FROM_LABELS = frozenset({"target_mean", "entity_state"})
"""Kinds of operations that may hold labels: on the rows that they were learned from, they tell too much."""


def label_free(plan: FeaturePlan) -> NDArray[np.intp]:
    """Return the indices of the features that are made without labels."""
    tainted: set[str] = set()
    for operation in plan.operations:
        made = {output.name for output in operation.outputs}
        if operation.kind in FROM_LABELS or tainted.intersection(operation.inputs):
            tainted |= made
        else:
            tainted -= made
    return np.asarray([index for index, name in enumerate(plan.outputs) if name not in tainted], dtype=np.intp)


def shape_of(plan: FeaturePlan, indices: NDArray[np.intp], task: str, metric: str, classes: int, rows: int) -> TaskInfo:
    """Return the shape of some of the plan's features."""
    described = plan.describe()
    return TaskInfo(
        task,
        metric,
        classes,
        rows,
        tuple(str(described[index]["kind"]) for index in indices),
        tuple(int(described[index]["cardinality"] or 0) for index in indices),
    )


def linear_predictions(train: Dataset, X: Array, shape: TaskInfo, seed: int) -> Array:
    """Return the predictions of a linear model with its default settings for the rows of ``X``."""
    simple = family("linear")
    fitted = simple.fit(simple.default(shape), train, None, shape, FitContext(seed=seed))
    return fitted.predict(X)


def learning_curve(train: Dataset, X: Array, truth: Array, shape: TaskInfo, seed: int) -> list[dict[str, Any]]:
    """Score the same small booster, trained on ever more rows, on the same sealed rows: ``{rows, score}``."""
    booster, weight = family("lightgbm"), np.ones(len(truth))
    params = {**booster.default(shape), "iterations": ROUNDS, "learning_rate": 0.1}
    found: list[dict[str, Any]] = []
    for share in STEPS:
        count = len(train.y) // share
        if count < LEAST_ROWS or (found and found[-1]["rows"] == count):
            continue
        part = Dataset(train.X[:count], train.y[:count], train.w[:count])
        if shape.classes and len(np.unique(part.y)) < 2:
            continue
        fitted = booster.fit(params, part, None, shape, FitContext(seed=seed))
        value = METRICS[shape.metric].score(truth, fitted.predict(X), weight)
        if np.isfinite(value):
            found.append({"rows": count, "score": float(value)})
    return found
