"""Predictions of a model and of the baseline for the sealed rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.inference.predictor import Predictor
from pipelines.metrics import METRICS
from pipelines.metrics.labels import at_threshold

log = logging.getLogger(__name__)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ModelPredictions:
    """Predictions for the sealed rows, (n,) or (n, classes), and the probability from which class 1 is predicted."""

    values: Array
    threshold: float | None = None
    classes: tuple[str, ...] = ()
    """The labels in the order of the columns; empty for regression."""

    def among(self, classes: list[str]) -> ModelPredictions:
        """Return the same predictions with a column per class of ``classes``; unknown ones are 0."""
        return replace(self, values=aligned(self.values, list(self.classes), classes), classes=tuple(classes))

    @classmethod
    def of(cls, version: Predictor, clean: pd.DataFrame) -> ModelPredictions:
        """Return a version's predictions for rows that it has read, in its own classes."""
        return cls(version.predict_read(clean), version.threshold, tuple(version.classes))

    @property
    def labelled(self) -> Array:
        """The predictions, rescaled by the threshold so that the most probable class is the predicted one."""
        return at_threshold(self.values, self.threshold)

    def judged_by(self, metric: str) -> Array:
        """Return what a metric uses: the probabilities, or those whose largest is the predicted label's."""
        return self.labelled if METRICS[metric].needs_labels else self.values


def aligned(y_pred: Array, own: list[str], classes: list[str]) -> Array:
    """Put the probability columns of a model's ``own`` classes in the order of ``classes``; unknown ones are 0."""
    if own == classes or not classes:
        return y_pred
    full = np.zeros((len(y_pred), len(classes)))
    for index, label in enumerate(classes):
        if label in own:
            full[:, index] = y_pred[:, own.index(label)]
    return full


def united(task: str, predictions: Iterable[ModelPredictions]) -> list[str]:
    """Return the classes that are judged: those of the first model, then the further ones of the others.

    Of two classes each metric names one, so a binary model is judged in its own.
    """
    first, *others = predictions
    known = [first, *others] if task == "multiclass" else [first]
    return list(dict.fromkeys(label for one in known for label in one.classes))


def known(
    task: str, rows: pd.DataFrame, predictions: Mapping[str, ModelPredictions]
) -> tuple[pd.DataFrame, dict[str, ModelPredictions], list[str]]:
    """Leave out the rows of a class that no model knows.

    Returns
    -------
    rows, predictions, classes
        The rows that judge, the predictions for these in common classes, and the classes.
    """
    classes = united(task, predictions.values())
    common = {name: one.among(classes) for name, one in predictions.items()}
    judge = rows["_y"].astype(str).isin(classes).to_numpy() if task == "multiclass" else np.ones(len(rows), np.bool_)
    if judge.all():
        return rows, common, classes
    log.info(f"notice: {int((~judge).sum())} sealed rows left out, no model knows their class")
    few = {name: replace(one, values=one.values[judge]) for name, one in common.items()}
    return rows[judge].reset_index(drop=True), few, classes


def lost(labels: pd.Series, own: list[str], classes: list[str]) -> list[str]:
    """Name the classes that the rows have and another model knows, but not the model of ``own`` classes."""
    counts = labels.astype(str).value_counts()
    return [f"{label} ({counts[label]} rows)" for label in classes if label not in own and label in counts]


def unjudged(labels: pd.Series, own: list[str]) -> list[str]:
    """Name the classes of a model that no row has: its predictions of them are not tested."""
    present = {*labels.astype(str).unique()}
    return [f"class {label} (no sealed row)" for label in own if label not in present]


def truth_of(labels: pd.Series, classes: list[str]) -> Array:
    """Return values, or class indices with -1 for a label that is not in ``classes``."""
    if not classes:
        return labels.to_numpy(dtype=np.float64)
    index_of = {label: float(index) for index, label in enumerate(classes)}
    return np.asarray([index_of.get(str(label), -1.0) for label in labels], dtype=np.float64)


def baseline_predictions(train_y: Array, train_w: Array, rows: int, classes: int, metric: str) -> Array:
    """Return the constant prediction that is best by the metric on the training rows, repeated for ``rows`` rows.

    The class shares (class 1 alone for f1, for which predicting class 1 always is best), the mean, the median for
    mae, for mape the median with weights 1 / |y|, which small values pull down, for rmsle the mean of log(1 + y).
    """
    if classes:
        if metric == "f1":
            return np.tile([0.0, 1.0], (rows, 1))
        counts = np.bincount(train_y[train_y >= 0].astype(np.intp), weights=train_w[train_y >= 0], minlength=classes)
        return np.tile(counts / counts.sum(), (rows, 1))
    if metric == "mape":
        given = train_y != 0
        train_y, train_w = train_y[given], train_w[given] / np.abs(train_y[given])
    if metric in ("mae", "mape") and len(train_y):
        order = np.argsort(train_y, kind="stable")
        passed = np.cumsum(train_w[order])
        return np.full(rows, train_y[order][np.searchsorted(passed, 0.5 * passed[-1])])
    if metric == "rmsle" and len(train_y):
        return np.full(rows, np.expm1(np.average(np.log1p(np.maximum(train_y, 0.0)), weights=train_w)))
    return np.full(rows, np.average(train_y, weights=train_w) if len(train_y) else 0.0)


def newest(train: pd.DataFrame) -> datetime | None:
    """Return the moment of the newest training row; None where rows have no moment."""
    newest = train["_time"].max() if "_time" in train and len(train) else pd.NaT
    if pd.isna(newest):
        return None
    stamp = pd.Timestamp(newest)
    return (stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp).to_pydatetime().astimezone(UTC)
