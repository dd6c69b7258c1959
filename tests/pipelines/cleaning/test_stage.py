from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines import storage
from pipelines.artifacts import Artifact, Night
from pipelines.cleaning import stage
from pipelines.cleaning.spec import CleanSpec
from pipelines.errors import SpecError
from pipelines.inference.recipe import RowRecipe
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
