from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import storage
from pipelines.artifacts import Artifact, Night
from pipelines.features import stage
from pipelines.features.spec import FeatureSpec
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

RECIPE = RowRecipe((Column("n", "number"), Column("c d", "category"), Column("t", "date"), Column("same", "number")))
COUNT = 1000


@pytest.fixture
def inputs(home: Settings, publish_stage: Callable[..., Artifact]) -> dict[str, Artifact]:
    random = np.random.default_rng(0)
    numbers = random.normal(size=COUNT)
    numbers[::7] = np.nan
    table = pa.table(
        {
            "_key": [f"k{index}" for index in range(COUNT)],
            "_time": pa.nulls(COUNT, pa.timestamp("us", "UTC")),
            "_sealed": [False] * COUNT,
            "_weight": [1.0] * COUNT,
            "_y": ["yes" if index % 4 else "no" for index in range(COUNT)],
            "n": pa.array(numbers, from_pandas=True),
            "c d": pa.array([None if code == 4 else f"cat {code}" for code in random.integers(0, 6, COUNT)]),
            "t": pa.array(random.integers(0, 10**15, COUNT), pa.timestamp("us")),
            "same": [3.0] * COUNT,
            "_fold": pa.array(np.arange(COUNT) % 5, pa.int8()),
        }
    )
    split, cleaned = storage.stage_folder(home, "t"), storage.stage_folder(home, "t")
    (split / "train").mkdir()
    pq.write_table(table, split / "train" / "part-00000.parquet", row_group_size=130, write_page_checksum=True)
    (cleaned / "recipe.json").write_text(RECIPE.to_json())
    return {"split": publish_stage("split", split, COUNT), "cleaned": publish_stage("clean", cleaned, COUNT)}


def run(home: Settings, night: Night, out: Path, inputs: dict[str, Artifact]) -> dict[str, Any]:
    out.mkdir()
    outcome = stage.run(FeatureSpec(), night=night, settings=home, out=out, **inputs)
    assert outcome.rows == COUNT
    columns: dict[str, Any] = json.loads((out / "columns.json").read_text())
    return columns


def test_writes_matrix_plan_and_columns(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night], inputs: dict[str, Artifact]
) -> None:
    columns = run(home, make_night(), tmp_path / "out", inputs)
    table = storage.read_table(tmp_path / "out" / "train")
    names = [feature["name"] for feature in columns["features"]]
    assert columns["classes"] == ["no", "yes"]
    assert table.column_names == ["_key", "_fold", "_weight", "_y", *names]
    assert "same" not in names
    assert columns["features"][1] == {"name": "c d", "kind": "code", "cardinality": 6}
    raw = storage.read_table(inputs["split"].path / "train")
    assert table["_y"].to_pylist() == [1.0 if label == "yes" else 0.0 for label in raw["_y"].to_pylist()]
    assert table["_key"].to_pylist() == raw["_key"].to_pylist()
    plan = FeaturePlan.load(tmp_path / "out" / "plan")
    matrix = plan.transform(plan.recipe.apply(raw)[0])
    np.testing.assert_array_equal(matrix, table.select(names).to_pandas().to_numpy())
    rows = [plan.transform_row(plan.recipe.apply_row(row)) for row in raw.slice(0, 50).to_pylist()]
    np.testing.assert_array_equal(matrix[:50], np.vstack(rows))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["partitions"] == 8
    assert report["left_out"]["same"] == "constant: 3 in every training row"


def test_the_same_input_gives_the_same_bytes(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night], inputs: dict[str, Artifact]
) -> None:
    for name in ("a", "b"):
        run(home, make_night(), tmp_path / name, inputs)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


@pytest.mark.parametrize(
    ("labels", "expected"), [(["10", "9", "2.5"], ["2.5", "9", "10"]), (["b", "1", "a"], ["1", "a", "b"])]
)
def test_classes_are_sorted_by_size_or_alphabet(labels: list[str], expected: list[str]) -> None:
    model = ModelSpec(name="demo", task="multiclass", target="y")
    assert stage.sorted_classes(labels, model) == expected


def test_the_positive_class_is_last() -> None:
    model = ModelSpec(name="demo", task="binary", target="y", positive="a")
    assert stage.sorted_classes(["a", "b"], model) == ["b", "a"]


def test_a_regression_has_no_classes() -> None:
    model = ModelSpec(name="demo", task="regression", target="y")
    assert stage.class_list([], model) is None
