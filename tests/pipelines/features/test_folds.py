"""The steps that see the target, the time or many features, through the stage: files, plan, and what folds see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import learning
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines import storage
from pipelines.algorithms.training_data import drawn, load_columns
from pipelines.features import stage
from pipelines.features.apply import transform_dask
from pipelines.features.spec import FeatureSpec, Lag, Pca, Rolling, Select, TargetEncode, TruncatedSvd
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.settings import Settings

ROWS = 300
KINDS = {"city": "category", "dest": "category", "late": "number", "a": "number", "b": "number", "noise": "number"}
STEPS = (
    TargetEncode(columns=("city",)),
    TargetEncode(columns=("city", "dest"), together=True),
    Lag(entity=("dest",), value="late", steps=1, delay_hours=0.0),
    Rolling(entity=("dest",), value="late", window_days=3.0, how=("mean", "count")),
    Rolling(entity=("dest",), value="label", window_days=9.0),
    Pca(columns=("a", "b", "late.mean_3d.dest"), components=2, keep=True),
    TruncatedSvd(columns=("a", "b"), components=1, keep=True),
    Select(by="correlation"),
    Select(by="mutual_information", limit=0.0, always=("city.target",)),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """The stage's output, and the clean rows that it read."""
    from pipelines import settings as settings_module

    root = tmp_path_factory.mktemp("folds")
    home: Settings = settings_module.load(home=root / "home").ensure()
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "city": pd.Series(rng.choice(["x", "y", "z", None], ROWS), dtype="str"),
            "dest": pd.Series(rng.choice(list("abcde"), ROWS), dtype="str"),
            **{name: rng.normal(size=ROWS) for name in ("late", "a", "b", "noise")},
        }
    )
    frame.loc[::11, "late"] = np.nan
    hours = np.arange(ROWS, dtype=np.int64)
    tells = (frame["city"] == "x").to_numpy() + frame["a"].to_numpy() + rng.normal(scale=0.5, size=ROWS) > 0.3
    table = pa.Table.from_pandas(frame, preserve_index=False)
    stamps: dict[str, Any] = {
        "_key": [str(row) for row in range(ROWS)],
        "_time": pa.array(hours * 3_600_000_000, pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
        "_weight": np.ones(ROWS),
        "_fold": pa.array(hours // 12 % 4 - (hours < 6), pa.int8()),
        "_y": np.where(tells, "yes", "no"),
    }
    for name, values in stamps.items():
        table = table.append_column(name, pa.array(values))
    storage.write_table(table, root / "split" / "train")
    recipe = RowRecipe(tuple(Column(name, kind) for name, kind in KINDS.items()))  # type: ignore[arg-type]
    for folder in ("cleaned", "features"):
        (root / folder).mkdir()
    (root / "cleaned" / "recipe.json").write_text(recipe.to_json())
    inputs = {name: learning.artifact(name, root / name) for name in ("split", "cleaned")}
    night = learning.make_night()
    stage.run(FeatureSpec(steps=STEPS), night=night, settings=home, out=root / "features", **inputs)
    return root / "features", frame


def test_callers_need_not_send_the_value_of_a_lag(made: tuple[Path, pd.DataFrame]) -> None:
    plan = FeaturePlan.load(made[0] / "plan")
    assert "late" not in plan.features
    assert "late" not in plan.sources
    assert {"city.target", "late.lag1.dest", "label.mean_9d.dest"} & set(plan.features)


def test_frame_dask_and_row_agree_after_a_round_trip(made: tuple[Path, pd.DataFrame]) -> None:
    import dask.dataframe as dd

    folder, frame = made
    plan = FeaturePlan.load(folder / "plan")
    asked = pd.concat([frame, pd.DataFrame({"city": ["new"], "dest": ["q"], "a": [np.nan]}).astype({"city": "str"})])
    asked = asked.reset_index(drop=True)
    matrix = plan.transform(asked)
    for index in [*range(0, ROWS, 7), ROWS]:
        row = {name: None if pd.isna(value) else value for name, value in asked.iloc[index].items()}
        np.testing.assert_array_equal(plan.transform_row(row), matrix[index])
    lazy = transform_dask(dd.from_pandas(asked, npartitions=3), plan).compute()
    np.testing.assert_array_equal(lazy.to_numpy(), matrix)


def test_each_fold_is_judged_with_columns_of_its_own(made: tuple[Path, pd.DataFrame]) -> None:
    folder, _ = made
    described = json.loads((folder / "columns.json").read_text())
    columns = load_columns(folder, learning.make_night().model)
    table = storage.read_table(folder / "train")
    assert list(columns.views) == columns.folds == [0, 1, 2, 3]
    assert columns.features == tuple(entry["name"] for entry in described["features"])
    for fold in columns.folds:
        entries = described["folds"][str(fold)]
        train, valid, shape = columns.sides(fold)
        inside = columns.fold == fold
        assert shape.kinds == tuple(entry["kind"] for entry in entries)
        assert len(train.y) + len(valid.y) == ROWS
        for index, entry in enumerate(entries):
            values = table[entry["column"]].to_numpy()
            np.testing.assert_array_equal(train.X[:, index], values[~inside])
            np.testing.assert_array_equal(valid.X[:, index], values[inside])
        some, all_valid, _ = columns.sides(fold, rows=50)
        chosen = drawn(len(train.y), 50, fold)
        np.testing.assert_array_equal(some.X, train.X[chosen])
        np.testing.assert_array_equal(some.y, train.y[chosen])
        np.testing.assert_array_equal(all_valid.X, valid.X)
        assert len(columns.sides(fold, rows=ROWS)[0].y) == len(train.y)
        named = {entry["name"]: entry["column"] for entry in entries}
        assert named["city.target"] == f"city.target@{fold}"
        assert named["a"] == "a"
    assert columns.whole().X.shape == (ROWS, len(columns.features))


def test_plain_columns_are_all_that_folds_see_without_such_steps() -> None:
    columns = learning.make_columns()
    train, valid, shape = columns.sides(1)
    assert shape is columns.shape
    np.testing.assert_array_equal(valid.X, columns.X[columns.fold == 1])
    assert len(train.y) == 450
