from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.errors import DataError
from pipelines.inference.enrichment.request import Computed, Enrichment, Lookup
from pipelines.inference.operations.base import Output
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.operations.dates_ops import DateParts
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
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
    (DateParts(("t",), (Output("t.day"),), ("day",), 0), Codes(("c",), (Output("c", "code", 2),), ("a",))),
    ("t.day", "n", "c"),
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


def test_added_columns_are_replaced_by_what_they_are_made_from(tmp_path: Path) -> None:
    table = pa.table({"_key": ["1"], "c": ["a"], "unused": [0]})
    added = Enrichment(
        (Lookup("kinds", ("id",), ("c", "unused"), table, "2020-01-01T00:00:00Z"),),
        (Computed("n", "minute(start) + speed * 60"), Computed("y", "n > 1", "never")),
        ("y",),
    )
    plan = replace(PLAN, enrichment=added)
    examples = EXAMPLES.assign(start=["?", "2020-01-01 00:05:00"], speed=1)
    schema = ServeSchema.build(MODEL, plan, examples)
    assert [(column.name, column.kind) for column in schema.columns] == [
        ("id", "category"),
        ("t", "date"),
        ("start", "date"),
        ("speed", "number"),
    ]
    assert schema.source_columns == ("id", "t", "constant")
    assert schema.example == {"id": 2, "t": "1/2/2020", "start": "2020-01-01 00:05:00", "speed": 1}
    stated = {"name": "kinds", "on": ["id"], "columns": ["c"], "as_of": "2020-01-01T00:00:00Z", "kind": "static"}
    assert schema.lookups == ({**stated, "rows": 1},)
    schema.save(tmp_path)
    assert ServeSchema.load(tmp_path) == schema


def test_saved_schema_is_equal_and_strict_json(tmp_path: Path) -> None:
    schema = ServeSchema.build(MODEL, PLAN, EXAMPLES.iloc[:0])
    assert schema.example == {}
    schema.save(tmp_path)
    assert ServeSchema.load(tmp_path) == schema
    content = json.loads((tmp_path / "schema.json").read_text())
    assert "lookups" not in content  # as earlier releases wrote it
    (tmp_path / "schema.json").write_text(json.dumps({**content, "format": 9}))
    with pytest.raises(DataError, match="format"):
        ServeSchema.load(tmp_path)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (np.nan, None),
        (pd.NaT, None),
        (pd.NA, None),
        (None, None),
        (float("inf"), None),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (" ?", " ?"),
        (Decimal("1.5"), 1.5),
        (date(2020, 1, 2), "2020-01-02"),
        (datetime(2020, 1, 2, tzinfo=UTC), "2020-01-02T00:00:00+00:00"),
        (b"x", None),
        ([1, "a"], '[1,"a"]'),
        (Decimal("12345678901234567890"), 12345678901234567890),
        (timedelta(minutes=1), 60.0),
        (time(7, 45), 27900.0),
    ],
)
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
