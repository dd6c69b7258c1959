from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from golden import golden_difference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.batch.logged import outputs_of
from pipelines.errors import DataError, DeployError
from pipelines.inference.golden import predictions_difference, write_golden
from pipelines.inference.manifest import write_manifest
from pipelines.inference.members.boosters import LightGBMMember
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.operations.base import Output
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.predictor import Predictor
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.inference.records import by_row
from pipelines.inference.schema import ServeSchema
from pipelines.inference.trees.bitset_lookup import Masks
from pipelines.inference.trees.fast_predict import MASK_ROWS
from pipelines.spec import ModelSpec

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
CLASSES = {"binary": ["no", "yes"], "multiclass": ["a", "b", "c"], "regression": None}
OBJECTIVE = {"binary": "binary", "multiclass": "multiclass", "regression": "l2"}
COLUMNS = (
    Column("id", "dropped"),
    Column("size (m)", "number"),
    Column("colour", "category"),
    Column("idle", "number"),
)
RAW = st.fixed_dictionaries(
    {
        "size (m)": st.sampled_from([" 1.5", "?", "", None, 3, 2.5, "oops", True, "NaN", "1e999"]),
        "colour": st.sampled_from([" red", "green ", None, "violet", "?", 1, 1.0, True, "None"]),
    }
)


def raw_frame(count: int = 30) -> pd.DataFrame:
    colours = ["red", " green", "?", "blue"]
    return pd.DataFrame(
        {
            "id": [f"r{index}" for index in range(count)],
            "size (m)": ["?" if index % 5 == 0 else f" {index}.5" for index in range(count)],
            "colour": [colours[index % 4] for index in range(count)],
        }
    )


def build(folder: Path, task: str) -> Path:
    folder.mkdir()
    recipe = RowRecipe((*COLUMNS, Column("label", "dropped")))
    codes = Codes(("colour",), (Output("colour", "code", 3),), ("red", "green"))
    plan = FeaturePlan(recipe, (codes,), ("size (m)", "colour"))
    plan.save(folder / "plan")
    classes = CLASSES[task]
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(size=400), random.integers(-1, 3, 400)])
    y = random.integers(0, len(classes), 400) if classes else random.normal(size=400)
    params = {"objective": OBJECTIVE[task], "num_class": 3 if task == "multiclass" else 1, "verbose": -1}
    booster = lightgbm.train({**params, "num_threads": 1}, lightgbm.Dataset(X, y), num_boost_round=5)
    (folder / "members").mkdir()
    entry = LightGBMMember(booster, len(classes or ())).save(folder / "members", "0-lightgbm")
    positive = "yes" if task == "binary" else None
    facts = {
        "format": 1,
        "model": "demo",
        "task": task,
        "target": "label",
        "positive": positive,
        "classes": classes,
        "metric": "any",
        "features": plan.features,
        "members": [{**entry, "weight": 1.0}],
        "combine": {"kind": "single", "weights": [1.0]},
    }
    (folder / "model.json").write_text(json.dumps(facts))
    model = ModelSpec(name="demo", task=task, target="label", positive=positive, key=("id",))
    ServeSchema.build(model, plan, raw_frame().assign(idle="0")).save(folder)
    write_golden(folder, raw_frame())
    write_manifest(folder, PEM)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {task: build(base / task, task) for task in CLASSES}


@pytest.fixture(scope="module")
def predictors(folders: dict[str, Path]) -> dict[str, Predictor]:
    return {task: ModelDirectory.open(folder, PUBLIC).predictor for task, folder in folders.items()}


@pytest.mark.parametrize("task", list(CLASSES))
def test_what_a_batch_logs_is_what_a_service_returns(predictors: dict[str, Predictor], task: str) -> None:
    predictor, raw = predictors[task], raw_frame(30)
    chosen = np.arange(0, 30, 7)
    logged = by_row(outputs_of(predictor, predictor.predict_frame(raw), chosen))
    served = predictor.predict_rows(raw.iloc[chosen].to_dict("records"))
    assert logged == [dict(each) for each in served]
    assert [list(each) for each in logged] == [list(each) for each in served]


@pytest.mark.parametrize("task", list(CLASSES))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(RAW, min_size=1, max_size=24))
def test_batch_and_single_rows_agree(predictors: dict[str, Predictor], task: str, rows: list[dict[str, Any]]) -> None:
    predictor = predictors[task]
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]})
    batch = predictor.predict_frame(frame)
    singly = [predictor.predict_rows([row])[0] for row in rows]
    assert predictions_difference(predictor.predict_rows(rows), singly) <= 1e-9
    assert batch["prediction"].tolist() == [one["prediction"] for one in singly]
    if task == "binary":
        assert np.abs(batch["probability"] - [one["probability"] for one in singly]).max() <= 1e-9
    if task == "multiclass":
        first = [one["probabilities"]["a"] for one in singly]
        assert np.abs(batch["probability_a"] - first).max() <= 1e-9


def test_predictions_have_the_promised_form(folders: dict[str, Path]) -> None:
    row = {"size (m)": "1.5", "colour": "red", "extra": {"ignored": 1}}
    binary = ModelDirectory.open(folders["binary"], PUBLIC).predictor.predict_rows([row])[0]
    assert set(binary) == {"prediction", "probability"}
    assert binary["prediction"] == ("yes" if binary["probability"] > 0.5 else "no")
    many = ModelDirectory.open(folders["multiclass"], PUBLIC).predictor.predict_rows([row])[0]
    assert list(many["probabilities"]) == ["a", "b", "c"]
    assert many["probability"] == many["probabilities"][many["prediction"]] == max(many["probabilities"].values())
    assert sum(many["probabilities"].values()) == pytest.approx(1)
    assert list(ModelDirectory.open(folders["regression"], PUBLIC).predictor.predict_rows([row])[0]) == ["prediction"]


def test_frames_keep_order_and_index_and_may_be_empty(folders: dict[str, Path]) -> None:
    predictor = ModelDirectory.open(folders["multiclass"], PUBLIC).predictor
    raw = raw_frame().sample(frac=1, random_state=0)
    frame = predictor.predict_frame(raw)
    assert list(frame.columns) == ["prediction", "probability_a", "probability_b", "probability_c"]
    pd.testing.assert_frame_equal(frame.sort_index(), predictor.predict_frame(raw_frame()))
    empty = predictor.predict_frame(raw.iloc[:0])
    assert (len(empty), list(empty.columns)) == (0, list(frame.columns))
    assert predictor.predict_rows([]) == []


def test_chunks_do_not_show(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = ModelDirectory.open(folders["binary"], PUBLIC).predictor
    raw = raw_frame()
    raw.loc[[3, 20], "size (m)"] = "oops"
    whole, unreadable = predictor.predict_frame_counted(raw)
    assert unreadable == {"size (m)": {"unreadable": 2}}
    monkeypatch.setattr("pipelines.inference.predictor.CHUNK_ROWS", 7)
    parts, counted = predictor.predict_frame_counted(raw)
    assert counted == unreadable
    pd.testing.assert_frame_equal(parts, whole)


def test_only_columns_of_the_plan_are_needed(folders: dict[str, Path]) -> None:
    predictor = ModelDirectory.open(folders["binary"], PUBLIC).predictor
    assert predictor.schema.names == ["size (m)", "colour"]
    assert predictor.missing_columns(["colour"]) == ["size (m)"]
    with pytest.raises(DataError, match="columns of the model") as caught:
        predictor.predict_frame(raw_frame().drop(columns="size (m)"))
    assert "'size (m)'" in caught.value.where


@pytest.mark.parametrize("rows", [["text"], [{"colour": "red"}], {"colour": "red"}, "text", [None], [[1, 2]], 5])
def test_wrong_rows_are_data_errors(folders: dict[str, Path], rows: Any) -> None:
    with pytest.raises(DataError):
        ModelDirectory.open(folders["binary"], PUBLIC).predictor.predict_rows(rows)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", [1], {"a": 1}, 10**400, "x" * 10_000])
def test_odd_cells_are_predicted_as_missing(folders: dict[str, Path], value: Any) -> None:
    predictor = ModelDirectory.open(folders["binary"], PUBLIC).predictor
    missing = predictor.predict_rows([{"size (m)": None, "colour": None}])
    assert predictor.predict_rows([{"size (m)": value, "colour": value}]) == missing
    assert predictor.predict_rows([{"size (m)": value, "colour": value}] * 20) == missing * 20


def test_golden_rows_are_strict_json_and_repeat(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        text = (folder / "golden.json").read_text()
        golden = json.loads(text, parse_constant=lambda name: pytest.fail(name))
        assert len(golden["rows"]) == len(golden["answers"]) == 30
        assert list(golden["rows"][0]) == ["colour", "id", "size (m)"]
        assert golden_difference(ModelDirectory.open(folder, PUBLIC).predictor) <= 1e-9


def test_a_warm_predictor_has_made_what_many_rows_need(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(Masks, "of", lambda booster, of=Masks.of: made.append(booster) or of(booster))
    predictor = ModelDirectory.open(folders["multiclass"], PUBLIC).predictor
    predictor.warm()
    boosters = len(made)
    assert boosters >= 1
    rows, stored = predictor.golden["rows"], predictor.golden["answers"]
    times = 1 + MASK_ROWS // len(rows)  # enough at once for the tables
    assert predictions_difference(predictor.predict_rows(rows * times), stored * times) <= 1e-9
    assert len(made) == boosters


def test_equal_models_are_equal_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    again = build(tmp_path / "again", "multiclass")
    assert (again / "manifest.json").read_bytes() == (folders["multiclass"] / "manifest.json").read_bytes()
    assert ModelDirectory.open(again, PUBLIC).digest == ModelDirectory.open(folders["multiclass"], PUBLIC).digest


def test_a_changed_member_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = build(tmp_path / "model", "regression")
    (folder / "members" / "0-lightgbm.txt").write_text("garbage that no parser survives")
    with pytest.raises(DeployError, match="differs from its manifest"):
        ModelDirectory.open(folder, PUBLIC)


def test_an_unknown_format_and_foreign_features_are_refused(tmp_path: Path) -> None:
    folder = build(tmp_path / "model", "regression")
    facts = json.loads((folder / "model.json").read_text())
    for change in ({"format": 2}, {"features": ["other"]}):
        (folder / "model.json").write_text(json.dumps({**facts, **change}))
        write_manifest(folder, PEM)
        with pytest.raises(DeployError):
            _ = ModelDirectory.open(folder, PUBLIC).predictor


def test_difference_of_predictions() -> None:
    assert predictions_difference([{"prediction": 1e6}], [{"prediction": 1e6 + 1e-4}]) < 1e-9
    assert predictions_difference([{"prediction": "a"}], [{"prediction": "b"}]) == float("inf")
    assert predictions_difference([{"prediction": 1.0}], []) == float("inf")
    assert predictions_difference([{"prediction": 1.0}], [{"other": 1.0}]) == float("inf")
