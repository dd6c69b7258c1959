"""Logged predictions as metrics take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.metrics import METRICS

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Logged:
    """Predictions of n rows.

    Parameters
    ----------
    values
        (n,) numbers, or (n, classes) probabilities.
    predicted
        (n,) index of the predicted class, -1 if it is none of these; empty for a regression.
    """

    values: Array
    predicted: npt.NDArray[np.intp]

    @property
    def judged(self) -> Array:
        """Probabilities of 1 for the predicted class: what metrics of labels use."""
        return np.asarray(self.predicted[:, None] == np.arange(self.values.shape[1]), dtype=np.float64)

    def judged_by(self, metric: str) -> Array:
        """Return what a metric uses."""
        return self.judged if METRICS[metric].needs_labels else self.values

    @property
    def confidence(self) -> Array:
        """Of two classes the probability of class 1, of more that of the predicted one."""
        if self.values.shape[1] == 2:
            return self.values[:, 1]
        return self.values[np.arange(len(self.values)), np.maximum(self.predicted, 0)]


def logged(rows: Sequence[dict[str, Any]], task: str, labels: Sequence[str]) -> tuple[Logged, npt.NDArray[np.bool_]]:
    """Return logged predictions as arrays, and which rows have one.

    Parameters
    ----------
    rows
        As they were logged.
    labels
        The classes as callers read them, the positive one second; empty for a regression.
    """
    kept = np.fromiter((_whole(row, task) for row in rows), bool, len(rows))
    whole = [row for row, there in zip(rows, kept, strict=True) if there]
    if task == "regression":
        values = np.asarray([row["prediction"] for row in whole], dtype=np.float64)
        return Logged(values, np.empty(0, np.intp)), kept
    position = {label: number for number, label in enumerate(labels)}
    predicted = np.asarray([position.get(str(row["prediction"]), -1) for row in whole], dtype=np.intp)
    if task == "binary":
        p = np.asarray([row["probability"] for row in whole], dtype=np.float64)
        return Logged(np.column_stack([1.0 - p, p]), predicted), kept
    table = [[row["probabilities"].get(label, 0.0) for label in labels] for row in whole]
    return Logged(np.asarray(table, dtype=np.float64).reshape(len(whole), len(labels)), predicted), kept


def _whole(row: dict[str, Any], task: str) -> bool:
    if task == "regression":
        return isinstance(row.get("prediction"), int | float)
    if task == "binary":
        return isinstance(row.get("probability"), int | float)
    return isinstance(row.get("probabilities"), dict)
