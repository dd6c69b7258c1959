"""The typed columns that the feature stage leaves, as arrays for learning."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms.base import Array, Part, Shape
from pipelines.spec import ModelSpec
from pipelines.storage import read_table


@dataclass(frozen=True)
class Columns:
    """Training rows: ``X`` (n, p); ``y``, ``w``, ``fold`` (n,); rows of a negative fold are never held out."""

    X: Array
    y: Array
    w: Array
    fold: NDArray[np.int8]
    shape: Shape
    features: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def folds(self) -> list[int]:
        """The folds that are held out in turn."""
        return [int(fold) for fold in np.unique(self.fold) if fold >= 0]

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Rows that have an out-of-fold prediction."""
        return np.asarray(self.fold >= 0)

    def part(self, mask: NDArray[np.bool_]) -> Part:
        """Give some rows."""
        return Part(self.X[mask], self.y[mask], self.w[mask])

    def whole(self) -> Part:
        """Give all rows."""
        return Part(self.X, self.y, self.w)


def load_columns(folder: Path, model: ModelSpec) -> Columns:
    """Read the output of the feature stage.

    Parameters
    ----------
    folder
        Holds ``train/`` and ``columns.json``.
    model
        Gives task and metric.
    """
    described = json.loads((folder / "columns.json").read_text())
    names = tuple(str(feature["name"]) for feature in described["features"])
    table = read_table(folder / "train")
    X = np.empty((table.num_rows, len(names)), dtype=np.float64)
    for index, name in enumerate(names):
        X[:, index] = table[name].to_numpy()
    classes = tuple(str(label) for label in described["classes"] or ())
    shape = Shape(
        task=model.task,
        metric=model.judged_by,
        classes=len(classes),
        rows=table.num_rows,
        kinds=tuple(str(feature["kind"]) for feature in described["features"]),
        cardinality=tuple(int(feature.get("cardinality") or 0) for feature in described["features"]),
    )
    y, w = (np.ascontiguousarray(table[name].to_numpy(), dtype=np.float64) for name in ("_y", "_weight"))
    return Columns(X, y, w, np.asarray(table["_fold"].to_numpy(), dtype=np.int8), shape, names, classes)
