"""Explanations of a score: importance of columns and features, slices, groups, simpler models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.algorithms.base import Dataset
from pipelines.evaluation.comparison import simple_baselines
from pipelines.evaluation.comparison.block_bootstrap import together
from pipelines.evaluation.explanation.dependence import MOST_COLUMNS, partial_dependence
from pipelines.evaluation.explanation.fairness import fairness
from pipelines.evaluation.explanation.importance import kept_alone, permutation_importance
from pipelines.evaluation.explanation.shapley import attention, contributions
from pipelines.evaluation.explanation.slices import FEW_ROWS, slice_scores, slices_of
from pipelines.evaluation.predictions import ModelPredictions, truth_of
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.inference.predictor import Predictor
from pipelines.spec import ModelSpec

Array = NDArray[np.float64]
SHOWN_SLICES = 5
"""Columns that are cut where none is declared: the most important."""


def important(
    version: Predictor, rows: pd.DataFrame, truth: Array, classes: list[str], model: ModelSpec, count: int
) -> list[dict[str, Any]]:
    """Return the permutation importance of the source columns."""
    predict = _asked(version, classes, model)
    return permutation_importance(
        version.read_cleaned(rows), version.plan.sources, truth, predict, model.judged_by, rows=count, seed=model.seed
    )


def alone(
    version: Predictor, rows: pd.DataFrame, truth: Array, classes: list[str], model: ModelSpec, count: int
) -> dict[str, float]:
    """Return what each source column alone leaves of the score."""
    predict = _asked(version, classes, model)
    return kept_alone(
        version.read_cleaned(rows), version.plan.sources, truth, predict, model.judged_by, rows=count, seed=model.seed
    )


def _asked(version: Predictor, classes: list[str], model: ModelSpec) -> Callable[[pd.DataFrame], Array]:
    metric = model.judged_by

    def predict(clean: pd.DataFrame) -> Array:
        return ModelPredictions.of(version, clean).among(classes).judged_by(metric)

    return predict


def dependent(
    version: Predictor, rows: pd.DataFrame, importance: list[dict[str, Any]], model: ModelSpec
) -> list[dict[str, Any]]:
    """Return the partial dependence of the predictions on the most important columns that matter at all."""
    columns = [entry["column"] for entry in importance if entry["loss"] > 0][:MOST_COLUMNS]
    return partial_dependence(
        version.read_cleaned(rows), columns, version.predict_read, version.labels, seed=model.seed
    )


def attended(version: Predictor, rows: pd.DataFrame, model: ModelSpec, count: int) -> tuple[list[dict[str, Any]], str]:
    """Return the mean absolute SHAP values of the features, and how they were found."""
    step = -(-len(rows) // max(1, count))
    X = version.plan.transform(version.read_cleaned(rows.iloc[::step].reset_index(drop=True)))
    chosen, phi, how = contributions(version.ensemble, X, len(version.classes), model.seed)
    features = [(str(one["name"]), str(one["kind"]) != "code") for one in version.plan.describe()]
    return attention(phi, X[chosen], features), how


def simpler(
    version: Predictor,
    train: pd.DataFrame,
    rows: pd.DataFrame,
    truth: Array,
    classes: list[str],
    model: ModelSpec,
    count: int,
) -> tuple[Array | None, list[dict[str, Any]]]:
    """Return a linear model's predictions for all rows, and the learning curve on ``count`` of them; 0: no curve.

    Both see at most ``simple_baselines.MOST_ROWS`` training rows, drawn at random, no feature with labels in it.
    """
    indices = simple_baselines.label_free(version.plan)
    if not len(indices):
        return None, []
    order = np.random.default_rng(model.seed).permutation(len(train))[: simple_baselines.MOST_ROWS]
    some = train.iloc[order].reset_index(drop=True)
    y = truth_of(some["_y"], classes)
    if classes:
        some, y = some[y >= 0].reset_index(drop=True), y[y >= 0]
    X = version.plan.transform(version.read_cleaned(some))[:, indices]
    part = Dataset(X, y, some["_weight"].to_numpy(np.float64))
    sealed = version.plan.transform(version.read_cleaned(rows))[:, indices]
    shape = simple_baselines.shape_of(version.plan, indices, model.task, model.judged_by, len(classes), len(y))
    few = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.intp)
    curve = simple_baselines.learning_curve(part, sealed[few], truth[few], shape, model.seed) if count else []
    linear = simple_baselines.linear_predictions(part, sealed, shape, model.seed)
    return linear if np.isfinite(linear).all() else None, curve


def cut(
    spec: EvaluateSpec,
    rows: pd.DataFrame,
    truth: Array,
    predictions: Mapping[str, ModelPredictions],
    model: ModelSpec,
    importance: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Score the declared slices, or those of the most important columns."""
    columns = spec.slices or tuple(entry["column"] for entry in importance[:SHOWN_SLICES] if entry["column"] in rows)
    sides = {
        name: predictions[name].judged_by(model.judged_by) for name in ("model", "champion") if name in predictions
    }
    declared = bool(spec.slices)
    slices = slices_of(rows, columns, least=1 if declared else FEW_ROWS)
    days, unit = together(rows)
    return slice_scores(
        model.judged_by, truth, sides, slices, spec, declared=declared, seed=model.seed, days=days, unit=unit
    )


def grouped(spec: EvaluateSpec, task: str, rows: pd.DataFrame, truth: Array, y_pred: Array) -> list[dict[str, Any]]:
    """Compare the declared groups."""
    return fairness(task, truth, y_pred, slices_of(rows, spec.fairness, "fairness"), spec.slice_rows)
