"""Training rows for the tests of feature steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.inference.operations.base import Operation, encoded, operation_from_json

KINDS = {"f": "number", "i": "number", "M": "date"}


def training_data(
    folder: Path,
    columns: pd.DataFrame,
    y: Sequence[Any],
    fold: Sequence[int],
    *,
    classes: Sequence[str] | None = None,
    time: Sequence[Any] | None = None,
    weight: Sequence[float] | None = None,
    rows_per_part: int = 1_000_000,
) -> TrainingData:
    """Write a table of clean rows and return it as training data; the target is called ``label``."""
    n = len(columns)
    table = pa.Table.from_pandas(columns, preserve_index=False)
    stamps = {
        "_key": pa.array([str(row) for row in range(n)], pa.string()),
        "_time": pa.nulls(n, pa.timestamp("us", "UTC")) if time is None else pa.array(time, pa.timestamp("us", "UTC")),
        "_fold": pa.array(np.asarray(fold), pa.int8()),
        "_weight": pa.array(np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)),
        "_y": pa.array(y),
    }
    for name, values in stamps.items():
        table = table.append_column(name, values)
    (folder / "train").mkdir(parents=True)
    pq.write_table(table, folder / "train" / "part.parquet", row_group_size=rows_per_part)
    files = ds.dataset(folder / "train").get_fragments()
    parts = [part for file in files for part in file.split_by_row_group()]
    (folder / "scratch").mkdir()
    kinds = {name: KINDS.get(columns[name].dtype.kind, "category") for name in columns.columns}
    return TrainingData(
        parts=tuple(parts), kinds=kinds, classes=classes, seed=0, scratch=folder / "scratch", target="label"
    )


def applied(fitted: FittedStep, columns: pd.DataFrame) -> dict[str, Any]:
    """Apply the operations to a table, checked to be the same row by row and after a round trip through JSON."""
    values = {name: form(columns[name]) for name in columns.columns}
    for operation in fitted.operations:
        again = operation_from_json(operation.to_json(), operation.tables())
        made = operation.apply(values, len(columns))
        for first, second in zip(made, again.apply(values, len(columns)), strict=True):
            np.testing.assert_array_equal(first, second)
        check_rows(again, values, made, len(columns))
        values |= {output.name: column for output, column in zip(operation.outputs, made, strict=True)}
    return values


def check_rows(operation: Operation, values: dict[str, Any], made: list[Any], rows: int) -> None:
    """Assert that the function of one row gives what the table has, bit by bit."""
    function = operation.row()
    for index in range(rows):
        row = {name: cell(values[name], index) for name in operation.inputs}
        assert list(map(repr, function(row))) == [repr(float(column[index])) for column in made]


def form(column: pd.Series[Any]) -> Any:
    """Return a column in the form that operations take."""
    if column.dtype.kind in "fi":
        return column.to_numpy(dtype=np.float64)
    return column.to_numpy(dtype="datetime64[us]") if column.dtype.kind == "M" else encoded(column)


def cell(column: Any, index: int) -> Any:
    """Return one cell in the form that the function of one row takes."""
    if isinstance(column, np.ndarray):
        return float(column[index]) if column.dtype.kind == "f" else column[index].item()
    return column[index].as_py()
