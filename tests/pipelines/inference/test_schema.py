from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.inference.plan import Feature, FeaturePlan
from pipelines.inference.recipe import Column, RowRecipe
from pipelines.inference.schema import ServeSchema, json_cell, request_rows
from pipelines.spec import ModelSpec

RECIPE = RowRecipe(
    (
        Column("id", "dropped"),
        Column("t", "date", ("%m/%d/%Y",)),
        Column("n", "number"),
        Column("constant", "number"),
        Column("c", "category"),
        Column("y", "dropped"),
    )
)
PLAN = FeaturePlan(
    RECIPE,
    (
        Feature("t.day", "t", "date", part="day"),
        Feature("n", "n", "number"),
        Feature("c", "c", "code", categories=("a",)),
    ),
)
MODEL = ModelSpec(name="demo", task="regression", target="y", key=("id",), time="t")
EXAMPLES = pd.DataFrame(
    {"id": [1, 2], "t": ["?", "1/2/2020"], "n": [" 1", " 2"], "constant": [0, 0], "c": [None, " a"], "y": [1, 2]}
)


def test_names_what_a_caller_sends() -> None:
    schema = ServeSchema.build(MODEL, PLAN, EXAMPLES)
    assert schema.names == ["t", "n", "c"]
    assert [column.kind for column in schema.columns] == ["date", "number", "category"]
    assert schema.columns[0].formats == ("%m/%d/%Y",)
    assert schema.source_columns == ("id", "t", "n", "constant", "c", "y")
    assert (schema.key, schema.time, schema.target) == (("id",), "t", "y")
    assert schema.example == {"t": "1/2/2020", "n": " 2", "c": " a"}


def test_saved_schema_is_equal_and_strict_json(tmp_path: Path) -> None:
    schema = ServeSchema.build(MODEL, PLAN, EXAMPLES.iloc[:0])
    assert schema.example == {}
    schema.save(tmp_path)
    assert ServeSchema.load(tmp_path) == schema
    content = json.loads((tmp_path / "schema.json").read_text())
    (tmp_path / "schema.json").write_text(json.dumps({**content, "format": 9}))
    with pytest.raises(DataError, match="format"):
        ServeSchema.load(tmp_path)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (np.nan, None), (pd.NaT, None), (pd.NA, None), (None, None), (float("inf"), None), (np.int64(3), 3),
        (np.float32(0.5), 0.5), (np.bool_(True), True), (" ?", " ?"), (Decimal("1.5"), 1.5),
        (date(2020, 1, 2), "2020-01-02"),
        (datetime(2020, 1, 2, tzinfo=UTC), "2020-01-02T00:00:00+00:00"), (b"x", None), ([1], None),
    ],
)  # fmt: skip
def test_cells_become_strict_json(value: object, cell: object) -> None:
    assert json_cell(value) == cell
    assert type(json_cell(value)) is type(cell)


def test_request_rows_read_back_as_the_same_clean_rows() -> None:
    frame = pd.DataFrame(
        {"t": pd.to_datetime(["2020-01-02 03:04:05.678901", None]), "n": [1.25, np.nan], "c": ["1.0", None]}
    )
    recipe = RECIPE.subset(["t", "n", "c"])
    clean, _ = recipe.apply(frame)
    rows = json.loads(json.dumps(request_rows(frame, ["t", "n", "c"]), allow_nan=False))
    again, _ = recipe.apply(pd.DataFrame(rows))
    pd.testing.assert_frame_equal(clean, again)
