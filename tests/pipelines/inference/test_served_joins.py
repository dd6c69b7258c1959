"""A model of joined and computed columns predicts a request row as it would predict the joined training row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from golden import golden_difference

from pipelines.errors import DataError, DeployError
from pipelines.holdout import canonical_key
from pipelines.inference.enrichment.request import EMPTY, Computed, Enrichment, Lookup
from pipelines.inference.golden import predictions_difference, write_golden
from pipelines.inference.manifest import write_manifest
from pipelines.inference.members.boosters import LightGBMMember
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.operations.base import Output
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.predictor import FEW_ROWS, Predictor
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.inference.schema import ServeSchema, request_rows
from pipelines.spec import ModelSpec

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
MODEL = ModelSpec(name="late", task="binary", target="late", positive="true", key=("id",))
PLANES = pd.DataFrame({"tailnum": [1, 2, 3, 4], "built": [1999.0, None, 2005, 2010], "maker": ["A", " b ", "?", "A"]})
WEATHER = pd.DataFrame({"origin": ["JFK", "EWR"], "wind": ["12.5", " 3 "]})
RECIPE = RowRecipe(
    (
        Column("id", "dropped"),
        Column("origin", "category"),
        Column("tailnum", "dropped"),
        Column("year", "number"),
        Column("arr_delay", "dropped"),
        Column("built", "number"),
        Column("maker", "category"),
        Column("wind", "number"),
        Column("age", "number"),
        Column("late", "dropped"),
    )
)


def main_table(rows: int = 300) -> pd.DataFrame:
    random = np.random.default_rng(0)
    tails: list[Any] = [1, "2", " 3.0", "4", "9", None]
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "origin": random.choice(["JFK", "EWR", "LGA"], rows),
            "tailnum": pd.Series([tails[index] for index in random.integers(0, len(tails), rows)], dtype=object),
            "year": random.choice(["2013", "2014 ", "?"], rows),
            "arr_delay": random.integers(-30, 60, rows),
        }
    )


def joined(main: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """What ingest makes of the tables, by way of pandas instead of the product's own code."""
    keys = main["tailnum"].map(lambda cell: canonical_key([cell]))
    planes = PLANES.assign(tailnum=PLANES["tailnum"].astype(str)).set_index("tailnum")
    table = main.assign(built=keys.map(planes["built"]), maker=keys.map(planes["maker"]))
    table["wind"] = main["origin"].map(weather.set_index("origin")["wind"])
    years = pd.to_numeric(main["year"], errors="coerce")
    return table.assign(age=years - table["built"], late=main["arr_delay"] >= 15)


def enrichment(weather: pd.DataFrame = WEATHER) -> Enrichment:
    planes = pa.table({"_key": [str(tail) for tail in PLANES["tailnum"]], **PLANES[["built", "maker"]]})
    last = pa.table({"_key": weather["origin"], "wind": weather["wind"]})
    return Enrichment(
        (
            Lookup("planes", ("tailnum",), ("built", "maker"), planes, "2013-10-01T00:00:00Z"),
            Lookup("weather", ("origin",), ("wind",), last, "2013-10-01T00:00:00Z", "as_of"),
        ),
        (Computed("age", "year - built"), Computed("late", "arr_delay >= 15", "never")),
        ("late",),
    )


def write_model(folder: Path) -> FeaturePlan:
    folder.mkdir()
    operations = (
        Codes(("maker",), (Output("maker", "code", 3),), ("A", "b")),
        Codes(("origin",), (Output("origin", "code", 3),), ("EWR", "JFK")),
    )
    plan = FeaturePlan(RECIPE, operations, ("age", "built", "maker", "origin", "wind"), enrichment())
    plan.save(folder / "plan")
    table = joined(main_table(), WEATHER)
    X = plan.transform(RECIPE.apply(table)[0])
    data = lightgbm.Dataset(X, table["late"].to_numpy(), params={"min_data_in_leaf": 3, "verbose": -1})
    booster = lightgbm.train({"objective": "binary", "num_threads": 1, "verbose": -1}, data, num_boost_round=20)
    (folder / "members").mkdir()
    entry = LightGBMMember(booster, 2).save(folder / "members", "0-lightgbm")
    facts = {
        "format": 1,
        "model": "late",
        "task": "binary",
        "target": "late",
        "positive": "true",
        "classes": ["false", "true"],
        "metric": "roc_auc",
        "features": plan.features,
        "members": [{**entry, "weight": 1.0}],
        "combine": {"kind": "single", "weights": [1.0]},
    }
    (folder / "model.json").write_text(json.dumps(facts))
    ServeSchema.build(MODEL, plan, table).save(folder)
    write_golden(folder, table)
    write_manifest(folder, PEM)
    return plan


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "model"
    write_model(path)
    return path


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return ModelDirectory.open(folder, PUBLIC).predictor


def test_a_caller_sends_keys_and_inputs_only(predictor: Predictor) -> None:
    assert predictor.schema.names == ["origin", "tailnum", "year"]
    assert sorted(predictor.requested) == ["origin", "tailnum", "year"]
    assert set(predictor.schema.example) == {"origin", "tailnum", "year"}
    assert sorted(predictor.missing_columns(["origin", "age"])) == ["tailnum", "year"]
    assert [(table["name"], table["as_of"], table["kind"]) for table in predictor.schema.lookups] == [
        ("planes", "2013-10-01T00:00:00Z", "static"),
        ("weather", "2013-10-01T00:00:00Z", "as_of"),
    ]
    assert set(predictor.golden["rows"][0]) == {"id", "origin", "tailnum", "year"}
    assert golden_difference(predictor) <= 1e-9
    with pytest.raises(DataError) as caught:
        predictor.predict_rows([{"origin": "JFK", "age": 3, "built": 1999}])
    assert caught.value.faults[0] == "row 0 lacks 'tailnum', 'year'"


def test_request_rows_are_predicted_as_the_joined_rows(predictor: Predictor) -> None:
    main = main_table()
    table = joined(main, WEATHER)
    on_training_side = replace(predictor, plan=replace(predictor.plan, enrichment=EMPTY))
    expected = on_training_side.predict_frame(table)
    assert expected["probability"].nunique() > 20
    sent = json.loads(json.dumps(request_rows(main, ["origin", "tailnum", "year"]), allow_nan=False))
    singly = [predictor.predict_rows([row])[0] for row in sent]
    assert predictions_difference(singly, predictor.predict_rows(sent)) <= 1e-9
    assert predictions_difference(singly[:FEW_ROWS], predictor.predict_rows(sent[:FEW_ROWS])) <= 1e-9
    assert np.abs([one["probability"] for one in singly] - expected["probability"]).max() <= 1e-9
    for frame in (main, table, main.astype({"tailnum": "str"})):
        batch = predictor.predict_frame(frame)
        assert np.abs(batch["probability"] - expected["probability"]).max() <= 1e-9
        assert list(batch.index) == list(frame.index)


def test_own_values_of_added_columns_do_not_count(predictor: Predictor) -> None:
    row = {"origin": "JFK", "tailnum": 1, "year": 2013}
    forged = {**row, "built": 1900, "age": 113, "wind": 99, "late": True}
    assert predictor.predict_rows([row]) == predictor.predict_rows([forged])
    assert predictor.predict_rows([row] * 30) == predictor.predict_rows([forged] * 30)


def test_unknown_keys_are_predicted_as_missing(predictor: Predictor) -> None:
    empty = {"origin": None, "tailnum": None, "year": None}
    expected = predictor.predict_rows([empty])
    for value in ("no such", float("nan"), "\ud800", [1], 10**5000, "x" * 10_000, {"a": 1}):
        row = {"origin": None, "tailnum": value, "year": value if value != "no such" else None}
        assert predictor.predict_rows([row]) == expected
        assert predictor.predict_rows([row] * 20) == expected * 20


def test_the_last_known_values_are_used(tmp_path: Path, predictor: Predictor) -> None:
    """Of an as-of join a version predicts with its own table, whatever the rows were joined to in training."""
    later = replace(predictor.plan, enrichment=enrichment(WEATHER.assign(wind=["1", "40"])))
    main = main_table()
    changed = replace(predictor, plan=later).predict_frame(main)
    on_training_side = replace(predictor, plan=replace(predictor.plan, enrichment=EMPTY))
    expected = on_training_side.predict_frame(joined(main, WEATHER.assign(wind=["1", "40"])))
    assert np.abs(changed["probability"] - expected["probability"]).max() <= 1e-9
    assert np.abs(changed["probability"] - predictor.predict_frame(main)["probability"]).max() > 1e-3


def test_equal_models_are_equal_bytes_and_a_changed_table_is_refused(tmp_path: Path, folder: Path) -> None:
    write_model(tmp_path / "again")
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()
    table = tmp_path / "again" / "plan" / "enrichment" / "planes.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    with pytest.raises(DeployError, match="differs from its manifest"):
        ModelDirectory.open(tmp_path / "again", PUBLIC)


def test_chunks_and_empty_frames(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, unreadable = predictor.predict_frame_counted(main_table())
    monkeypatch.setattr("pipelines.inference.predictor.CHUNK_ROWS", 70)
    parts, counted = predictor.predict_frame_counted(main_table())
    pd.testing.assert_frame_equal(whole, parts)
    assert counted == unreadable == {}
    assert len(predictor.predict_frame(main_table().iloc[:0])) == 0
