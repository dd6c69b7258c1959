# ruff: noqa: DTZ001 - clean moments are naive UTC
from __future__ import annotations

import json
import subprocess
import sys
import timeit
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError
from pipelines.inference.enrichment.request import Computed, Enrichment
from pipelines.inference.operations.base import Output
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.operations.dates_ops import DAY_US, PARTS, DateParts
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import Column, RowRecipe

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
        pd.DataFrame({"n": [1, None], "c": ["green", "violet"], "t": ["2024-02-29T13:30:00", None], "unused": [0, 0]})
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


PLAN_1 = (
    '{"features":[{"kind":"number","name":"n","source":"n"},{"categories":["red","grün"],"kind":"code","name":"c",'
    '"source":"c"},{"kind":"date","name":"t.year","origin":86400000000,"part":"year","source":"t"},{"kind":"date",'
    '"name":"t.elapsed_days","origin":86400000000,"part":"elapsed_days","source":"t"}],"format":1}'
)
RECIPE_1 = (
    '{"columns":[{"kind":"number","name":"n"},{"kind":"category","name":"c"},{"formats":["%d.%m.%Y"],"kind":"date",'
    '"name":"t"},{"kind":"dropped","name":"y"}],"format":1,"missing":["","?","na","n/a","#n/a","nan","<na>","null"],'
    '"missing_values":["none","-","--",".","nil","missing"]}'
)


def test_plans_of_the_format_before_stay_readable(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(PLAN_1)
    (tmp_path / "recipe.json").write_text(RECIPE_1)
    plan = FeaturePlan.load(tmp_path)
    assert plan.features == ["n", "c", "t.year", "t.elapsed_days"]
    rows = [{"n": "1.5", "c": " grün", "t": "29.02.2024"}, {"n": "", "c": "blue", "t": None}, {"n": 1.5}]
    matrix = np.vstack([plan.transform_row(plan.recipe.apply_row(row)) for row in rows])
    expected = [[1.5, 1, 2024, 19781.0], [np.nan, 2, np.nan, np.nan], [1.5, -1, np.nan, np.nan]]
    np.testing.assert_array_equal(matrix, expected)
    assert plan.describe()[1] == {"name": "c", "kind": "code", "cardinality": 3}
    plan.save(tmp_path / "new")
    assert FeaturePlan.load(tmp_path / "new") == plan


def test_long_lists_of_the_format_before_stay_readable(tmp_path: Path) -> None:
    entry = {"categories": "parquet", "kind": "code", "name": "c", "source": "c"}
    (tmp_path / "plan.json").write_text(json.dumps({"features": [entry], "format": 1}))
    (tmp_path / "recipe.json").write_text(RECIPE_1)
    texts = [f"k{index}" for index in range(1001)]
    pq.write_table(pa.table({"feature": ["c"] * 1001, "category": texts}), tmp_path / "categories.parquet")
    assert FeaturePlan.load(tmp_path).transform_row({"c": "k1000"}).tolist() == [1000.0]


def test_what_serving_adds_travels_with_the_plan(tmp_path: Path) -> None:
    enrichment = Enrichment(computed=(Computed("n", "a + b"),))
    plan = FeaturePlan(RECIPE, (), ("n",), enrichment)
    plan.save(tmp_path)
    assert FeaturePlan.load(tmp_path) == plan
    assert plan.enrichment.requested(plan.sources) == ["a", "b"]


def test_operations_that_no_output_needs_are_left_out() -> None:
    codes, parts = PLAN.operations
    plan = FeaturePlan(RECIPE, (codes, parts), ("n", "t.day"))
    assert plan.operations == (parts,)
    assert plan.sources == ["n", "t"]


@pytest.mark.parametrize(
    ("operations", "outputs"),
    [((), ("nowhere",)), ((), ("c",)), ((Codes(("gone",), (Output("x", "code", 1),), ()),), ("x",))],
)
def test_a_plan_whose_parts_do_not_fit_is_refused(operations: tuple[Any, ...], outputs: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="does not fit together"):
        FeaturePlan(RECIPE, operations, outputs)


@pytest.mark.parametrize(
    "content",
    [
        {"format": 3, "operations": [], "outputs": []},
        {"format": 2, "operations": [{"kind": "magic", "inputs": [], "outputs": []}], "outputs": []},
    ],
)
def test_an_unknown_format_or_operation_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    PLAN.save(tmp_path)
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"unknown format|not known here"):
        FeaturePlan.load(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"format": 2}', b"PAR1\x00PAR1"])
def test_a_damaged_plan_is_refused_whatever_the_file(tmp_path: Path, content: bytes | None) -> None:
    many = tuple(f"c{index}" for index in range(1_500))
    plan = FeaturePlan(RECIPE, (Codes(("c",), (Output("c", "code", 1_501),), many),), ("c",))
    for name in ("plan.json", "recipe.json", "operation-0000-categories.parquet"):
        folder = tmp_path / name
        plan.save(folder)
        assert FeaturePlan.load(folder) == plan
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(DataError):
            FeaturePlan.load(folder)


def test_inference_does_not_import_dask() -> None:
    program = (
        "import sys; import pipelines.inference.predictor; sys.exit('dask' in sys.modules or 'scipy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_one_row_of_fourteen_columns_is_quick() -> None:
    recipe = RowRecipe(tuple(Column(f"c{k}", "category" if k % 2 else "number") for k in range(14)))
    words = tuple(f"w{k}" for k in range(40))
    operations = tuple(Codes((f"c{k}",), (Output(f"c{k}", "code", 41),), words) for k in range(1, 14, 2))
    plan = FeaturePlan(recipe, operations, tuple(recipe.names))
    row = {f"c{k}": "w3" if k % 2 else 1.5 for k in range(14)}
    seconds = min(timeit.repeat(lambda: plan.transform_row(row), number=200, repeat=7)) / 200
    assert seconds <= 1e-4
