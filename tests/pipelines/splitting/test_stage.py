from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines import storage
from pipelines.artifacts import Artifact, Night
from pipelines.errors import DataError, GateError
from pipelines.settings import Settings
from pipelines.splitting import stage
from pipelines.splitting.spec import SplitSpec


def table(count: int = 100) -> pa.Table:
    return pa.table(
        {
            "_key": [f"k{place}" for place in range(count)],
            "_time": pa.nulls(count, pa.timestamp("us", "UTC")),
            "_sealed": [place % 10 == 0 for place in range(count)],
            "_weight": [1.0] * count,
            "_y": ["lone" if place == 0 else "yes" if place % 3 else "no" for place in range(count)],
            "x": [float(place) for place in range(count)],
        }
    )


def test_divides_and_folds(
    home: Settings, tmp_path: Path, make_night: Callable[..., Night], publish_stage: Callable[..., Artifact]
) -> None:
    staging = storage.stage_folder(home, "t")
    storage.write_table(table(), staging / "cleaned")
    cleaned = publish_stage("clean", staging, 100)
    out = tmp_path / "out"
    out.mkdir()
    outcome = stage.run(SplitSpec(folds=3), night=make_night(), settings=home, out=out, cleaned=cleaned)
    train, sealed = storage.read_table(out / "train"), storage.read_table(out / "sealed")
    assert train.column_names == [*table().column_names, "_fold"]
    assert train.schema.field("_fold").type == pa.int8()
    assert (outcome.rows, train.num_rows, sealed.num_rows) == (90, 90, 9)
    assert sealed.column_names == table().column_names
    assert not set(train["_key"].to_pylist()) & set(sealed["_key"].to_pylist())
    report = json.loads((out / "report.json").read_text())
    assert report["folds"] == {"0": 30, "1": 30, "2": 30}
    assert report["sealed_labels_never_trained"] == {"lone": 1}


def test_a_key_on_both_sides_is_named() -> None:
    with pytest.raises(GateError, match="both sides") as caught:
        stage.check_sides(table().slice(0, 30), table().slice(29, 5))
    assert caught.value.where == "'k29'"


def test_sealed_rows_that_cannot_judge_stop_the_night_before_the_search(make_night: Callable[..., Night]) -> None:
    model = make_night().model
    yes = table().filter(pc.equal(table()["_y"], "yes"))
    with pytest.raises(DataError, match="sealed rows hold too few"):
        stage.check_judges(yes, table(), model)
    with pytest.raises(DataError, match="training rows hold too few"):
        stage.check_judges(table(), yes, model)
    stage.check_judges(yes, table(), model.model_copy(update={"metric": "log_loss"}))


def test_an_empty_side_is_a_data_error() -> None:
    with pytest.raises(DataError, match="no sealed rows"):
        stage.check_sides(table(), table().slice(0, 0))
    with pytest.raises(DataError, match="no training rows"):
        stage.check_sides(table().slice(0, 0), table())
