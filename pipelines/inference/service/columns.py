"""Predictions for a table of request cells that comes by column, with a warning for each doubtful cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipelines.inference.doubts import OUT_OF_RANGE, UNREADABLE, UNSEEN
from pipelines.inference.members.unsupervised import cluster_names
from pipelines.inference.predictor import Matrix, Predictor
from pipelines.spec import UNSUPERVISED

FEW_ROWS = 256
"""Up to this many rows are read one by one, which is faster than as a frame."""
MISSING = "missing"
"""A cell without a value."""

Warned = list[tuple[int, str, str]]


def predict_columns(predictor: Predictor, columns: Mapping[str, Sequence[Any]], rows: int) -> dict[str, Any]:
    """Predict request rows that come by column.

    Parameters
    ----------
    columns
        For each column that the model needs, ``rows`` JSON cells. Optional ones may be absent.
    rows
        Number of rows.

    Returns
    -------
    dict
        ``outputs``: by name a list of ``rows`` values. ``prediction`` (label, number or cluster); binary:
        ``probability`` of the positive label; several classes: ``probability`` of the predicted label and
        ``probabilities``, {label: list}; reduction: ``components`` alone, a list of coordinates per row.
        ``warnings``: [row, column, kind] of each cell that is ``unreadable``, ``unseen``, ``out_of_range`` or
        ``missing``.

    Raises
    ------
    DeployError
        If the model predicts NaN or infinity.
    """
    warned: Warned = []
    if rows <= FEW_ROWS:
        matrix = _read_rows(predictor, columns, rows, warned)
    else:
        matrix = _read_frame(predictor, columns, rows, warned)
    warned.sort()
    return {"outputs": output_columns(predictor, matrix), "warnings": warned}


def output_columns(predictor: Predictor, matrix: Matrix) -> dict[str, Any]:
    """Predict encoded rows, shape (n, features); return what a caller reads, by column."""
    output = predictor._predict(matrix)
    if predictor.facts["task"] in UNSUPERVISED:
        return {"components": output.tolist()} if output.ndim == 2 else {"prediction": cluster_names(output)}
    if not predictor.classes:
        return {"prediction": output.tolist()}
    best, labels = predictor._best(output), predictor.labels
    predicted = [labels[index] for index in best.tolist()]
    if predictor.facts["task"] == "binary":
        return {"prediction": predicted, "probability": output[:, predictor.positive].tolist()}
    return {
        "prediction": predicted,
        "probability": output[np.arange(len(output)), best].tolist(),
        "probabilities": dict(zip(labels, output.T.tolist(), strict=True)),
    }


def _read_rows(predictor: Predictor, columns: Mapping[str, Sequence[Any]], rows: int, warned: Warned) -> Matrix:
    doubts, recipe, plan, enrichment = predictor.doubts, predictor.recipe, predictor.plan, predictor.enrichment
    required, names = predictor.required, list(columns)
    vectors = []
    for number, cells in enumerate(zip(*columns.values(), strict=True) if names else [()] * rows):
        row = dict(zip(names, cells, strict=True))
        clean, bad = recipe.read_row(enrichment.apply_row(row) if enrichment else row)
        for name in bad:
            warned.append((number, name, UNREADABLE))
        for name, (low, high) in doubts.ranges.items():
            value = clean.get(name)
            if value is not None and not low <= value <= high:
                warned.append((number, name, OUT_OF_RANGE))
        for name, known in doubts.levels.items():
            value = clean.get(name)
            if value is not None and value not in known:
                warned.append((number, name, UNSEEN))
        for name in required:
            if name in clean and clean[name] is None and name not in bad:
                warned.append((number, name, MISSING))
        vectors.append(plan.transform_row(clean))
    return np.array(vectors)


def _read_frame(predictor: Predictor, columns: Mapping[str, Sequence[Any]], rows: int, warned: Warned) -> Matrix:
    doubts, enrichment = predictor.doubts, predictor.enrichment
    absent = [None] * rows
    raw = pd.DataFrame(
        {name: pd.Series(columns.get(name, absent), dtype=object) for name in predictor.requested}, copy=False
    )
    clean, bad = predictor.recipe.apply(enrichment.apply(raw) if enrichment else raw)
    unreadable = {str(name): bad[name].to_numpy(dtype=bool) for name in bad}
    for name, cells in unreadable.items():
        _warn(warned, cells, name, UNREADABLE)
    for name, (low, high) in doubts.ranges.items():
        if name in clean:
            values = clean[name].to_numpy(dtype=np.float64)
            _warn(warned, (values < low) | (values > high), name, OUT_OF_RANGE)
    for name, known in doubts.levels.items():
        if name in clean:
            texts = clean[name]
            _warn(warned, (texts.notna() & ~texts.isin(known)).to_numpy(dtype=bool), name, UNSEEN)
    for name in predictor.required:
        if name in clean:
            empty = clean[name].isna().to_numpy(dtype=bool)
            _warn(warned, empty & ~unreadable[name] if name in unreadable else empty, name, MISSING)
    return predictor.plan.transform(clean)


def _warn(warned: Warned, cells: np.ndarray[Any, Any], name: str, kind: str) -> None:
    if cells.any():
        warned.extend((row, name, kind) for row in np.flatnonzero(cells).tolist())
