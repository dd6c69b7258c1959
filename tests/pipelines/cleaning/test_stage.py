from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines import storage
from pipelines.artifacts import Artifact, Night
from pipelines.cleaning import profile, stage
from pipelines.cleaning.parts import TableParts
from pipelines.cleaning.spec import CleanSpec
from pipelines.errors import DataError, SpecError
from pipelines.inference.enrichment.request import Computed, Enrichment
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.settings import Settings


def test_writes_tables_recipe_and_report(
    home: Settings,
    tmp_path: Path,
    make_night: Callable[..., Night],
    publish_stage: Callable[..., Artifact],
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = 60
    table = pa.table(
        {
            "x": [str(index) for index in range(count - 1)] + ["bad"],
            "label": ["yes", "no"] * (count // 2),
            "_key": [str(index) for index in range(count)],
            "_time": pa.nulls(count, pa.timestamp("us", "UTC")),
            "_sealed": [index % 10 == 0 for index in range(count)],
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
        "cleaned",
        "examples",
        "quarantine",
        "recipe.json",
        "report.json",
    ]
    assert storage.read_table(out / "cleaned").schema.field("x").type == pa.float64()
    assert storage.read_table(out / "quarantine")["x"].to_pylist() == ["bad"]
    assert RowRecipe.from_json((out / "recipe.json").read_bytes()).names == ["x"]
    report = json.loads((out / "report.json").read_text())
    assert report["in"] == 60 == report["clean"] + report["quarantined"]
    assert "in 60 = clean 59 + quarantined 1 + duplicates 0" in caplog.text


def test_formats_of_a_column_of_another_kind_are_refused() -> None:
    with pytest.raises(SpecError, match="CleanSpec"):
        CleanSpec(kinds={"x": "number"}, dates={"x": "%Y-%m-%d"})


def sampled_artifact(home: Settings, publish_stage: Callable[..., Artifact], enrichment: bool = True) -> Artifact:
    count = 600
    table = pa.table(
        {
            "x": [None if index % 3 == 0 else float(index) for index in range(count)],
            "late": [None if index % 4 == 0 else "seen" for index in range(count)],
            "after": ["secret"] * count,
            "when": ["2026-01-02"] * count,
            "label": [None if index % 4 == 0 else ("yes", "no")[index % 2] for index in range(count)],
            "_key": [str(index) for index in range(count)],
            "_time": pa.nulls(count, pa.timestamp("us", "UTC")),
            "_sealed": [index % 10 == 1 for index in range(count)],
            "_weight": [1.0] * count,
        }
    )
    staging = storage.stage_folder(home, "t")
    storage.write_table(table, staging / "sampled")
    if enrichment:
        computed = (Computed("after", "upper(`late`)", "never"), Computed("label", "upper(`late`)", "never"))
        Enrichment(computed=computed, hidden=("after", "label")).save(staging / "enrichment")
    return publish_stage("sample", staging, count)


def test_what_serving_does_not_know_is_dropped_and_the_rest_handed_on(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night], publish_stage: Callable[..., Artifact]
) -> None:
    sampled = sampled_artifact(home, publish_stage)
    stage.run(CleanSpec(), night=make_night(), settings=home, out=tmp_path, sampled=sampled)
    recipe = RowRecipe.from_json((tmp_path / "recipe.json").read_bytes())
    assert recipe.names == ["x", "late", "when"]
    handed = tmp_path / "enrichment" / "enrichment.json"
    assert handed.stat().st_ino == (sampled.path / "enrichment" / "enrichment.json").stat().st_ino
    assert not (tmp_path / ".scratch").exists()


def test_the_report_shows_nulls_by_label_and_the_training_rows(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night], publish_stage: Callable[..., Artifact]
) -> None:
    sampled = sampled_artifact(home, publish_stage, enrichment=False)
    stage.run(CleanSpec(), night=make_night(), settings=home, out=tmp_path, sampled=sampled)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["null_evidence"]["late"] == {
        "labelled": 0.0,
        "unlabelled": 1.0,
        "labelled_rows": 450,
        "unlabelled_rows": 150,
    }
    train = storage.read_table(tmp_path / "cleaned")
    train = train.filter(pc.invert(train["_sealed"]))
    numbers = np.array(train["x"].drop_null())
    seen = report["profile"]["x"]
    assert seen["missing"] == train["x"].null_count / train.num_rows
    assert seen["quantiles"]["0.5"] == np.quantile(numbers, 0.5, method="inverted_cdf")
    assert (seen["quantiles"]["0.0"], seen["quantiles"]["1.0"]) == (numbers.min(), numbers.max())
    assert report["profile"]["after"] == {
        "kind": "category",
        "missing": 0.0,
        "distinct": 1,
        "top": [{"value": "secret", "count": train.num_rows}],
        "levels": ["secret"],
    }
    assert report["profile"]["when"]["quantiles"]["0.25"] == "2026-01-02T00:00:00"
    assert not (tmp_path / "enrichment").exists()


def test_a_column_with_very_many_texts_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MANY", 5)
    table = pa.table({"c": [f"t{index}" for index in range(30)] + [None] * 10, "_sealed": [False] * 40})
    recipe = RowRecipe((Column("c", "category"),))
    seen = profile.profile(TableParts(table, 4), recipe)
    assert seen == {"c": {"kind": "category", "missing": 0.25, "distinct_over": 5, "top": []}}


def test_a_damaged_table_is_a_data_error(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night], publish_stage: Callable[..., Artifact]
) -> None:
    sampled = sampled_artifact(home, publish_stage)
    path = sampled.path / "sampled" / "part-00000.parquet"
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.chmod(0o600)
    path.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read"):
        stage.run(CleanSpec(), night=make_night(), settings=home, out=tmp_path, sampled=sampled)
