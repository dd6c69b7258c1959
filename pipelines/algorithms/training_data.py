"""The typed columns that the feature stage leaves, as arrays for learning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.algorithms.base import Array, Dataset, TaskInfo
from pipelines.spec import ModelSpec
from pipelines.storage import read_table

Rows = NDArray[np.bool_] | NDArray[np.intp]
"""Which rows: a mask or indices."""


@dataclass(frozen=True)
class View:
    """Columns that a fold is judged with instead of ``X``: indices in ``X``, and from p on in ``extra``."""

    sources: tuple[int, ...]
    shape: TaskInfo


@dataclass(frozen=True)
class Columns:
    """Training rows: ``X`` (n, p); ``y``, ``w``, ``fold`` (n,); rows of a negative fold are never held out.

    Without a target ``y`` is 0 throughout, and nothing reads it.
    ``extra`` (n, e) and ``views`` by fold: features that were learned from labels of a fold are not what that fold can
    be judged with; these are.
    """

    X: Array
    y: Array
    w: Array
    fold: NDArray[np.int8]
    shape: TaskInfo
    features: tuple[str, ...]
    classes: tuple[str, ...]
    extra: Array | None = None
    views: Mapping[int, View] = field(default_factory=dict)

    @property
    def folds(self) -> list[int]:
        """The folds that are held out in turn."""
        return [int(fold) for fold in np.unique(self.fold) if fold >= 0]

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Rows that have an out-of-fold prediction."""
        return np.asarray(self.fold >= 0)

    def part(self, mask: Rows) -> Dataset:
        """Return some rows."""
        return Dataset(self.X[mask], self.y[mask], self.w[mask])

    def sides(self, fold: int, rows: int | None = None) -> tuple[Dataset, Dataset, TaskInfo]:
        """Return the rows to learn from and those to judge when ``fold`` is held out, and the shape of both.

        Parameters
        ----------
        rows
            Most rows to learn from, see :func:`drawn`. None: all.
        """
        outside: Rows = self.fold != fold
        view, count = self.views.get(fold), int(outside.sum())
        if rows is not None and count > rows:
            outside = np.flatnonzero(outside)[drawn(count, rows, fold)]
        if view is None:
            return self.part(outside), self.judged(fold), self.shape
        return self._viewed(view, outside), self.judged(fold), view.shape

    def judged(self, fold: int) -> Dataset:
        """Return the rows that ``fold`` holds out, as they are judged."""
        inside, view = self.fold == fold, self.views.get(fold)
        return self.part(inside) if view is None else self._viewed(view, inside)

    def _viewed(self, view: View, mask: Rows) -> Dataset:
        y = self.y[mask]
        X = np.empty((len(y), len(view.sources)))
        width = self.X.shape[1]
        for index, source in enumerate(view.sources):
            block, column = (self.X, source) if source < width or self.extra is None else (self.extra, source - width)
            X[:, index] = block[mask, column]
        return Dataset(X, y, self.w[mask])

    def whole(self) -> Dataset:
        """Return all rows."""
        return Dataset(self.X, self.y, self.w)


def drawn(count: int, rows: int, fold: int) -> NDArray[np.intp]:
    """Draw ``rows`` of ``count`` indices at random, the same ones for every trial; ascending."""
    return np.sort(np.random.default_rng([fold, count]).choice(count, rows, replace=False))


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
    views = described.get("folds", {})
    columns = dict.fromkeys([*names, *(str(entry["column"]) for view in views.values() for entry in view)])
    table = read_table(folder / "train")
    matrix = [_matrix(table, some) for some in (names, tuple(columns)[len(names) :])]
    classes = tuple(str(label) for label in described["classes"] or ())
    w = np.ascontiguousarray(table["_weight"].to_numpy(), dtype=np.float64)
    y = np.zeros(len(w))
    if model.supervised:
        y = np.ascontiguousarray(table["_y"].to_numpy(), dtype=np.float64)
    shape = _shape(model, len(classes), y, described["features"])
    index_of = {name: index for index, name in enumerate(columns)}
    fold_views = {
        int(fold): View(
            tuple(index_of[str(entry["column"])] for entry in entries), _shape(model, len(classes), y, entries)
        )
        for fold, entries in views.items()
    }
    fold = np.asarray(table["_fold"].to_numpy(), dtype=np.int8)
    del table
    pa.default_memory_pool().release_unused()  # a search takes long, and the pool would hold a table's worth of pages
    return Columns(matrix[0], y, w, fold, shape, names, classes, matrix[1] if views else None, fold_views)


def _matrix(table: pa.Table, names: Sequence[str]) -> Array:
    X = np.empty((table.num_rows, len(names)), dtype=np.float64)
    for index, name in enumerate(names):
        X[:, index] = table[name].to_numpy()
    return X


def _shape(model: ModelSpec, classes: int, y: Array, features: Sequence[Mapping[str, Any]]) -> TaskInfo:
    return TaskInfo(
        task=model.task,
        metric=model.judged_by,
        classes=classes,
        rows=len(y),
        kinds=tuple(str(feature["kind"]) for feature in features),
        cardinality=tuple(int(feature.get("cardinality") or 0) for feature in features),
        nonnegative=model.task == "regression" and len(y) > 0 and bool(y.min() >= 0.0) and bool(y.max() > 0.0),
    )
