"""Predictions for a table of request cells that comes by column, with a warning for each doubtful cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import NoneType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.inference.doubts import UNREADABLE
from pipelines.inference.predictor import FEW_ROWS, Matrix, Predictor
from pipelines.inference.recipe.json_columns import JsonColumn

MISSING = "missing"
"""A cell without a value."""
SINGLE_ROWS = 16
"""Up to this many rows are read one by one; more are quicker by column."""

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
        ``outputs``: see :meth:`Predictor.output_columns <pipelines.inference.predictor.Predictor.output_columns>`.
        ``warnings``: [row, column, kind] of each cell that is ``unreadable``, ``unseen``, ``out_of_range`` or
        ``missing``.

    Raises
    ------
    DeployError
        If the model predicts NaN or infinity.
    """
    warned: Warned = []
    if rows <= SINGLE_ROWS or (predictor.enrichment and rows <= FEW_ROWS):
        matrix = _read_rows(predictor, columns, rows, warned)
    elif not predictor.enrichment:
        matrix = _read_columns(predictor, columns, rows, warned)
    else:
        matrix = _read_frame(predictor, columns, rows, warned)
    warned.sort()
    return {"outputs": predictor.output_columns(matrix), "warnings": warned}


def _read_rows(predictor: Predictor, columns: Mapping[str, Sequence[Any]], rows: int, warned: Warned) -> Matrix:
    doubts, recipe, plan, enrichment = predictor.doubts, predictor.recipe, predictor.plan, predictor.enrichment
    required, names = predictor.required, list(columns)
    vectors = []
    for number, cells in enumerate(zip(*columns.values(), strict=True) if names else [()] * rows):
        row = dict(zip(names, cells, strict=True))
        clean, bad = recipe.read_row(enrichment.apply_row(row) if enrichment else row)
        warned.extend((number, name, kind) for name, kind in doubts.cells_of_row(clean, bad))
        for name in required:
            if name in clean and clean[name] is None and name not in bad:
                warned.append((number, name, MISSING))
        vectors.append(plan.transform_row(clean))
    return np.array(vectors)


def _read_columns(predictor: Predictor, columns: Mapping[str, Sequence[Any]], rows: int, warned: Warned) -> Matrix:
    """Read column by column: plain cells at once, others as in the rows or the frame that they would be read in."""
    recipe, plan, doubts = predictor.recipe, predictor.plan, predictor.doubts
    absent = [None] * rows
    read: dict[str, JsonColumn] = {}
    for kept in recipe.kept:
        name, reader = kept.name, predictor.json_readers[kept.name]
        cells = columns.get(name, absent)
        if len(cells) != rows:
            raise ValueError(f"column {name!r} has {len(cells)} cells for {rows} rows")
        found = reader.column(cells)
        if found is None and rows <= FEW_ROWS:
            found = reader.cells(cells)
        elif found is None:
            values, bad = recipe.read_column(kept, _arrow(cells))
            clean = pd.Series(values)
            found = JsonColumn(plan.form(name, clean), clean.isna().to_numpy(dtype=bool), bad)
        read[name] = found
    for name, column in read.items():
        if column.bad is not None:
            _warn(warned, column.bad, name, UNREADABLE)
        if (doubtful := doubts.cells_of_column(name, column.values)) is not None:
            _warn(warned, doubtful[1], name, doubtful[0])
    for name in predictor.required:
        if name in read and (missing := read[name].missing) is not None:
            bad_cells = read[name].bad
            _warn(warned, missing if bad_cells is None else missing & ~bad_cells, name, MISSING)
    return plan.matrix({name: column.values for name, column in read.items()}, rows)


def _arrow(cells: Sequence[Any]) -> Any:
    """Return cells as a column of texts, where they are, or of whatever they are."""
    if {str, NoneType}.issuperset(map(type, cells)):
        with suppress(UnicodeError):
            return pa.chunked_array([pa.array(cells, pa.string())])
    return pd.Series(cells, dtype=object)


def _read_frame(predictor: Predictor, columns: Mapping[str, Sequence[Any]], rows: int, warned: Warned) -> Matrix:
    doubts, enrichment = predictor.doubts, predictor.enrichment
    absent = [None] * rows
    raw = pd.DataFrame(
        {name: pd.Series(columns.get(name, absent), dtype=object) for name in predictor.requested}, copy=False
    )
    clean, bad = predictor.recipe.apply(enrichment.apply(raw) if enrichment else raw)
    for name, kind, cells in doubts.cells_of_frame(clean, bad):
        _warn(warned, cells, name, kind)
    for name in predictor.required:
        if name in clean:
            empty = clean[name].isna().to_numpy(dtype=bool)
            _warn(warned, empty & ~bad[name].to_numpy(dtype=bool) if name in bad else empty, name, MISSING)
    return predictor.plan.transform(clean)


def _warn(warned: Warned, cells: np.ndarray[Any, Any], name: str, kind: str) -> None:
    if cells.any():
        warned.extend((row, name, kind) for row in np.flatnonzero(cells).tolist())
