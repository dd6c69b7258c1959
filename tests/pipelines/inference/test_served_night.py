"""From several tables through the data stages to a served model: a caller's row becomes the row the learner saw."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from golden import golden_difference

from pipelines import settings as settings_module
from pipelines import stages, storage
from pipelines.artifacts import Artifact, Night, Ref
from pipelines.cleaning.spec import CleanSpec
from pipelines.features.spec import FeatureSpec
from pipelines.inference.enrichment.request import Enrichment
from pipelines.inference.golden import predictions_difference, write_golden
from pipelines.inference.manifest import write_manifest
from pipelines.inference.members.boosters import LightGBMMember
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.predictor import Predictor
from pipelines.inference.schema import ServeSchema
from pipelines.ingestion.spec import Derived, IngestSpec, Join
from pipelines.sampling.spec import SampleSpec
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.splitting.spec import SplitSpec

MODEL = ModelSpec(
    name="late", task="binary", target="late", positive="true", key=("id",), time="sched", drop=("arr_delay", "tailnum")
)
SPEC: dict[str, Any] = {
    "derived": (
        Derived(name="late", expression="arr_delay >= 15", serve="never"),
        Derived(name="hhmm", expression="hour(sched) * 100 + minute(sched)"),
        Derived(name="age", expression="year(sched) - built"),
        Derived(name="windy", expression="'yes' if wind > 10 else 'no'"),
    ),
    "seal_share": 0.2,
}
ROWS = 900


def tables(folder: Path) -> None:
    """Flights (text that people typed), planes by tail number, weather readings by airport, airlines."""
    random = np.random.default_rng(5)
    sched = pd.Timestamp("2013-01-01") + pd.to_timedelta(np.sort(random.integers(0, 60 * 24 * 40, ROWS)), "min")
    tails = np.array(["101", "102.0", " N3 ", "N4", "?", "N9"])[random.integers(0, 6, ROWS)]
    origins = np.array(["JFK", "EWR ", "LGA"])[random.integers(0, 3, ROWS)]
    delay = random.normal(0, 10, ROWS) + 12 * (tails == "101") + 9 * (origins == "JFK") + 6 * (sched.hour > 12)
    flights = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "sched": sched.strftime("%Y-%m-%d %H:%M:%S"),
            "origin": origins,
            "tailnum": tails,
            "carrier": random.choice(["AA", "UA"], ROWS),
            "arr_delay": delay.round(0).astype(int),
        }
    )
    flights.to_csv(folder / "flights.csv", index=False)
    planes = {"tailnum": ["101", "102", "N3", "N4"], "year": ["1999", "2004", "?", "2011"], "seats": [55, 149, 20, 330]}
    pd.DataFrame(planes).to_csv(folder / "planes.csv", index=False)
    hours = pd.date_range("2013-01-01", periods=41 * 8, freq="3h")
    weather = pd.concat(
        pd.DataFrame({"origin": airport, "at": hours, "wind": random.gamma(4, 3, len(hours)).round(1)})
        for airport in ("JFK", "EWR", "LGA")
    )
    weather.to_csv(folder / "weather.csv", index=False)
    pd.DataFrame({"code": ["AA", "UA"], "fleet": [600, 700]}).to_csv(folder / "airlines.csv", index=False)


def spec_of(folder: Path) -> IngestSpec:
    joins = (
        Join(
            name="planes",
            source=str(folder / "planes.csv"),
            on=["tailnum"],
            columns={"year": "built", "seats": "seats"},
        ),
        Join(
            name="weather",
            source=str(folder / "weather.csv"),
            on=["origin"],
            columns=["wind"],
            time="moment(at)",
            at="moment(sched)",
        ),
        Join(name="airlines", source=str(folder / "airlines.csv"), on={"carrier": "code"}, serve="caller"),
    )
    return IngestSpec(source=str(folder / "flights.csv"), joins=joins, **SPEC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_module.load(home=tmp_path_factory.mktemp("home"), cores=2).ensure()


@pytest.fixture(scope="module")
def night_folder(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Path:
    """The data stages of one night, and a model directory trained on what they left."""
    root = tmp_path_factory.mktemp("night")
    tables(root)
    night = Night(model=MODEL, night="n1", as_of=datetime(2013, 2, 20, tzinfo=UTC))
    made: dict[str, Artifact] = {}
    for name, stage, spec in (
        ("raw", "ingest", spec_of(root)),
        ("sampled", "sample", SampleSpec()),
        ("cleaned", "clean", CleanSpec()),
        ("split", "split", SplitSpec()),
        ("features", "features", FeatureSpec()),
    ):
        out = root / name
        out.mkdir()
        known = stages.get(stage)
        inputs = {wanted: made[wanted] for wanted in known.inputs}
        outcome = known.load().run(spec, night=night, settings=settings, out=out, **inputs)
        made[name] = Artifact(ref=Ref(uri=name, digest="d", stage=name, meta=outcome.meta), path=out)
    model(root, settings)
    return root


def model(root: Path, settings: Settings) -> None:
    folder = root / "model"
    (folder / "members").mkdir(parents=True)
    (root / "features" / "plan").rename(folder / "plan")
    plan = FeaturePlan.load(folder / "plan")
    train = storage.read_table(root / "features" / "train").to_pandas()
    data = lightgbm.Dataset(train[plan.features].to_numpy(), train["_y"].to_numpy())
    params = {"objective": "binary", "num_threads": 1, "verbose": -1, "num_leaves": 7}
    entry = LightGBMMember(lightgbm.train(params, data, 30), 2).save(folder / "members", "0-lightgbm")
    classes = json.loads((root / "features" / "columns.json").read_text())["classes"]
    facts = {
        "format": 1,
        "model": "late",
        "task": "binary",
        "target": "late",
        "positive": "true",
        "classes": classes,
        "metric": "roc_auc",
        "features": plan.features,
        "members": [{**entry, "weight": 1.0}],
        "combine": {"kind": "single", "weights": [1.0]},
    }
    (folder / "model.json").write_text(json.dumps(facts))
    examples = storage.read_table(root / "cleaned" / "examples").to_pandas()
    ServeSchema.build(MODEL, plan, examples).save(folder)
    write_golden(folder, examples)
    write_manifest(folder, signing_key(settings).read_bytes())


@pytest.fixture(scope="module")
def predictor(night_folder: Path, settings: Settings) -> Predictor:
    return ModelDirectory.open(night_folder / "model", public_key(settings)).predictor


def test_the_learner_saw_what_was_joined_and_computed(predictor: Predictor) -> None:
    assert {"built", "seats", "wind", "fleet", "age", "windy", "hhmm", "origin"} <= set(predictor.plan.sources)
    assert not {"arr_delay", "late", "tailnum"} & set(predictor.plan.sources)


def test_a_caller_sends_the_main_table_and_what_is_declared(predictor: Predictor) -> None:
    assert sorted(predictor.schema.names) == ["carrier", "fleet", "origin", "sched", "tailnum"]
    stated = {table["name"]: (table["kind"], table["rows"]) for table in predictor.schema.lookups}
    assert stated == {"planes": ("static", 4), "weather": ("as_of", 3)}
    assert {table["as_of"] for table in predictor.schema.lookups} == {"2013-02-20T00:00:00+00:00"}
    assert golden_difference(predictor) <= 1e-9


def test_callers_rows_are_predicted_as_the_joined_rows(predictor: Predictor, night_folder: Path) -> None:
    joined = storage.read_table(night_folder / "raw" / "raw").to_pandas()
    flights = pd.read_csv(night_folder / "flights.csv", dtype=str, keep_default_na=False)
    fleet = {"AA": 600, "UA": 700}
    rows = [
        {**row, "fleet": fleet[row["carrier"]]} for row in flights.drop(columns=["arr_delay"]).to_dict(orient="records")
    ]
    last = pd.read_csv(night_folder / "weather.csv").groupby("origin")["wind"].last()
    order = joined.set_index(joined["id"].astype(int)).loc[flights["id"].astype(int)]
    # Of the as-of table a version knows the last reading of each airport; all else is as joined for training.
    order["wind"] = order["origin"].str.strip().map(last).to_numpy()
    order["windy"] = np.where(order["wind"] > 10, "yes", "no")
    recipe = predictor.plan.recipe.subset(predictor.plan.sources)
    expected = predictor.ensemble.predict(predictor.plan.transform(recipe.apply(order)[0]))[:, predictor.positive]
    assert len(np.unique(expected)) > 50
    sent = json.loads(json.dumps(rows))
    batch = [one["probability"] for one in predictor.predict_rows(sent)]
    assert np.abs(np.array(batch) - expected).max() <= 1e-9
    singly = [predictor.predict_rows([row])[0] for row in sent]
    assert predictions_difference(singly, predictor.predict_rows(sent)) <= 1e-9
    framed = predictor.predict_frame(pd.DataFrame(rows))
    assert np.abs(framed["probability"].to_numpy() - expected).max() <= 1e-9


def test_training_rows_held_no_reading_from_their_future(night_folder: Path) -> None:
    joined = storage.read_table(night_folder / "raw" / "raw").to_pandas()
    weather = pd.read_csv(night_folder / "weather.csv", parse_dates=["at"]).sort_values("at")
    joined["at"] = pd.to_datetime(joined["sched"])
    joined["airport"] = joined["origin"].str.strip()
    expected = pd.merge_asof(
        joined.sort_values("at"),
        weather.astype({"at": joined["at"].dtype}),
        on="at",
        left_by="airport",
        right_by="origin",
    ).set_index("id")["wind_y"]
    assert np.allclose(joined.set_index("id")["wind"].loc[expected.index].astype(float), expected)


def test_the_tables_travel_with_every_stage(night_folder: Path) -> None:
    first = Enrichment.load(night_folder / "raw" / "enrichment")
    assert first.hidden == ("late",)
    for name in ("sampled", "cleaned"):
        assert Enrichment.load(night_folder / name / "enrichment") == first
