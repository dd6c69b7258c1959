from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import storage
from pipelines.artifacts import Artifact, Night
from pipelines.cleaning import stage
from pipelines.cleaning.spec import CleanSpec
from pipelines.errors import SpecError
from pipelines.inference.recipe import Column, RowRecipe
from pipelines.settings import Settings


def test_writes_tables_recipe_and_report(
    home: Settings,
    tmp_path: Path,
    make_night: Callable[..., Night],
    publish_stage: Callable[..., Artifact],
    capsys: pytest.CaptureFixture[str],
) -> None:
    count = 60
    table = pa.table(
        {
            "x": [str(place) for place in range(count - 1)] + ["bad"],
            "label": ["yes", "no"] * (count // 2),
            "_key": [str(place) for place in range(count)],
            "_time": pa.nulls(count, pa.timestamp("us", "UTC")),
            "_sealed": [place % 10 == 0 for place in range(count)],
            "_weight": [1.0] * count,
        }
    )
    staging = storage.stage_folder(home, "t")
    storage.write_table(table, staging / "sampled")
    sampled = publish_stage("sample", staging, count)
    out = tmp_path / "out"
    out.mkdir()
    outcome = stage.run(CleanSpec(), night=make_night(), settings=home, out=out, sampled=sampled)
    assert outcome.rows == 59
    assert sorted(path.name for path in out.iterdir()) == [
        "cleaned", "examples", "quarantine", "recipe.json", "report.json",
    ]  # fmt: skip
    assert storage.read_table(out / "cleaned").schema.field("x").type == pa.float64()
    assert storage.read_table(out / "quarantine")["x"].to_pylist() == ["bad"]
    assert RowRecipe.from_json((out / "recipe.json").read_bytes()).names == ["x"]
    report = json.loads((out / "report.json").read_text())
    assert report["in"] == 60 == report["clean"] + report["quarantined"]
    assert "in 60 = clean 59 + quarantined 1 + duplicates 0" in capsys.readouterr().err


def test_formats_of_a_column_of_another_kind_are_refused() -> None:
    with pytest.raises(SpecError, match="CleanSpec"):
        CleanSpec(kinds={"x": "number"}, dates={"x": "%Y-%m-%d"})


def test_row_groups_give_the_same_as_the_whole(tmp_path: Path) -> None:
    cells = [" 1", "?", "2.5", "x", None, "1.0"] * 5
    table = pa.table({"n": cells, "c": cells})
    pq.write_table(table, tmp_path / "part-00000.parquet", row_group_size=7, write_page_checksum=True)
    recipe = RowRecipe((Column("n", "number"), Column("c", "category")))
    for part, whole in zip(stage.apply_in_parts(recipe, tmp_path), recipe.apply(table), strict=True):
        pd.testing.assert_frame_equal(part, whole)
