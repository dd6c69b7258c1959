# ruff: noqa: DTZ001 - clean moments are naive UTC
from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError
from pipelines.inference.operations.base import Output
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.operations.dates_ops import DAY_US, PARTS, DateParts
from pipelines.inference.plan import FeaturePlan
from pipelines.inference.recipe import Column, RowRecipe

RECIPE = RowRecipe((Column("n", "number"), Column("c", "category"), Column("t", "date"), Column("unused", "number")))
PLAN = FeaturePlan(
    RECIPE,
    (
        Codes(("c",), (Output("c", "code", 3),), ("red", "green")),
        DateParts(("t",), tuple(Output(f"t.{part}") for part in PARTS), PARTS, DAY_US),
    ),
    ("n", "c", *(f"t.{part}" for part in PARTS)),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
            "c": st.sampled_from([None, "red", "green", "blue", "?"]),
            "t": st.one_of(st.none(), st.datetimes(datetime(1600, 1, 1), datetime(2400, 1, 1))),
        }
    ),
    min_size=1,
    max_size=10,
)


@given(ROWS)
def test_frame_and_row_give_the_same_numbers(rows: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in "nct"})
    recipe = RECIPE.subset(PLAN.sources)
    matrix = PLAN.transform(recipe.apply(frame)[0])
    np.testing.assert_array_equal(matrix, np.vstack([PLAN.transform_row(recipe.apply_row(row)) for row in rows]))


def test_codes_and_calendar() -> None:
    clean, _ = RECIPE.apply(
        pd.DataFrame(
            {"n": [1, None], "c": ["green", "violet"], "t": ["2024-02-29T13:30:00", None], "unused": [0, 0]},
        )
    )
    matrix = PLAN.transform(clean)
    assert matrix[0].tolist() == [1.0, 1.0, 2024, 2, 29, 3, 60, 13, 19781.5625]
    assert matrix[1, 1] == 2.0
    assert np.isnan(matrix[1, [0, *range(2, 9)]]).all()
    assert PLAN.transform_row({"n": None, "c": None, "t": None})[1] == -1.0


def test_no_rows_give_an_empty_matrix() -> None:
    clean, _ = RECIPE.apply(pd.DataFrame({"n": [], "c": [], "t": [], "unused": []}))
    assert PLAN.transform(clean).shape == (0, 9)


def test_only_used_columns_are_needed() -> None:
    assert PLAN.sources == ["n", "c", "t"]
    with pytest.raises(DataError, match="columns of the model"):
        PLAN.transform(pd.DataFrame({"n": [1.0]}))


def test_describe_tells_kind_and_cardinality() -> None:
    described = {entry["name"]: (entry["kind"], entry["cardinality"]) for entry in PLAN.describe()}
    assert described["c"] == ("code", 3)
    assert described["t.hour"] == ("number", None)


def test_saved_plans_are_equal_and_byte_stable(tmp_path: Path) -> None:
    many = tuple(f"category {number}" for number in range(1500))
    plan = FeaturePlan(RECIPE, (Codes(("c",), (Output("c", "code", 1501),), many),), ("c", "n"))
    for folder in (tmp_path / "a", tmp_path / "b"):
        plan.save(folder)
        assert FeaturePlan.load(folder) == plan
    names = ["operation-0000-categories.parquet", "plan.json", "recipe.json"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    PLAN.save(tmp_path / "small")
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == names[1:]
