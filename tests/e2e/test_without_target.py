"""Models without target through the real stages: init, two nights, predictions, explanation; and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from chain import WIRES, Chain
from searching import run_here

from pipelines import settings as settings_module
from pipelines import storage
from pipelines.artifacts import Request
from pipelines.batch.predict import predict_file
from pipelines.cli.explain import explain
from pipelines.cli.init import init_model
from pipelines.cli.rescore import on_tonights_rows
from pipelines.errors import DataError, SpecError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.predictor import Predictor
from pipelines.runner import run_stage
from pipelines.secret_files import public_key
from pipelines.spec import ModelSpec

FULL = os.environ.get("AIMASS_FULL") == "1"
UP_TO_EVALUATE = tuple(WIRES)[: tuple(WIRES).index("register")]
COLUMNS = ["a", "b", "c", "d", "e", "kind"]


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Three groups of rows that differ in two directions, seen through five numbers and a word; some cells missing."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, count)
    hidden = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])[group] + rng.normal(scale=0.5, size=(count, 2))
    ways = np.random.default_rng(99).normal(size=(2, 5))
    frame = pd.DataFrame(hidden @ ways + rng.normal(scale=0.1, size=(count, 5)), columns=COLUMNS[:5]).round(3)
    frame["kind"] = np.array(["x", "y", " z"])[group]
    frame.loc[::40, "b"] = np.nan
    frame.insert(0, "id", np.arange(count))
    return frame


def released(chain: Chain) -> None:
    """Put the night's version into service; clusters, whose predictions look like those of classes, without a bento."""
    model, night = chain.night.model.name, chain.night.night
    if FULL or chain.night.model.task == "reduction":
        chain.run_here(*tuple(WIRES)[len(UP_TO_EVALUATE) :])
        assert chain.results["deploy"].ref.meta["live"] is True  # the service has repeated the golden predictions
        return
    uri, digest = storage.adopt_model(chain.settings, folder(chain, "ensemble") / "model", model)
    fence = chain.ledger.reserve(model, night, 1).fence
    facts = chain.results["evaluate"].ref.meta
    chain.ledger.advance(
        model, night, fence, state="staged", model_uri=uri, model_digest=digest, as_of=chain.night.as_of, verdict=facts
    )
    chain.ledger.assign_version(model, night, fence)
    chain.ledger.advance(model, night, fence, state="registered")
    chain.ledger.switch(model, 1, fence, "test", "test")


@pytest.fixture(scope="module", params=["clustering", "reduction"])
def nights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Two nights of one model, the second with more rows."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIMASS_HOME", str(folder / "home"))
        patch.setenv("AIMASS_DAGS_FOLDER", str(folder / "dags"))
        patch.setattr("pipelines.tuning.search.search", run_here)
        settings = settings_module.load().ensure()
        rows(400).to_csv(folder / "rows.csv", index=False)
        report = init_model("groups", str(folder / "rows.csv"), task=request.param, key=("id",), dags=folder / "dags")
        specs: dict[str, Any] = {
            "ingest": {"source": str(folder / "rows.csv"), "seal_share": 0.2},
            "validate": {"suite": str(report.suite), "docs": False},
            "tune": {"trials": 5},
            "evaluate": {"bootstrap": 200},
        }
        first = Chain(settings, report.model, "n1", specs)
        first.run_here(*UP_TO_EVALUATE)
        released(first)
        rows(500).to_csv(folder / "rows.csv", index=False)
        second = Chain(settings, report.model, "n2", specs)
        second.run_here(*tuple(name for name in UP_TO_EVALUATE if name != "validate"))
        yield SimpleNamespace(
            task=request.param, settings=settings, report=report, first=first, second=second, folder=folder
        )


def folder(chain: Chain, stage: str) -> Path:
    return storage.resolve(chain.settings, chain.results[stage].ref.uri)


def predictor_of(nights: SimpleNamespace) -> Predictor:
    row = nights.first.ledger.version("groups", 1)
    return ModelDirectory.open(storage.resolve(nights.settings, row.model_uri), public_key(nights.settings)).predictor


def test_the_first_night_is_promoted_by_its_own_metric(nights: SimpleNamespace) -> None:
    verdict = nights.first.results["evaluate"].ref.meta
    assert verdict["verdict"] == "promoted"
    assert verdict["sentence"].startswith("Promoted as first version: ")
    assert verdict["metric"] == {"clustering": "silhouette", "reduction": "variance_gain"}[nights.task]
    assert verdict["score"] > 0.4 > 0.2 > verdict["baseline"]
    assert verdict["baseline_lower_bound"] > 0
    assert json.loads((folder(nights.first, "ensemble") / "report.json").read_text())["kind"] == "single"
    split = json.loads((folder(nights.first, "split") / "report.json").read_text())
    assert (split["how"], split["leaks"]) == ("by key", [])
    assert "_y" not in storage.read_table(folder(nights.first, "features") / "train").column_names


def test_the_second_is_compared_on_the_same_sealed_rows(nights: SimpleNamespace) -> None:
    verdict = nights.second.results["evaluate"].ref.meta
    assert verdict["verdict"] == "promoted"
    assert verdict["champion_version"] == 1
    assert -0.01 < verdict["lower_bound"] <= verdict["improvement"] <= verdict["upper_bound"]
    ledger = nights.first.ledger
    tonight = {row.stage: row for row in ledger.stages("groups", "n2")}
    after = SimpleNamespace(model_uri=f"{tonight['ensemble'].ref['uri']}/model", metric=verdict["metric"])
    again = on_tonights_rows(nights.settings, ledger.version("groups", 1), after, tonight)
    assert again == pytest.approx(verdict["champion_score"])


def test_it_finds_what_is_there(nights: SimpleNamespace) -> None:
    found = json.loads((folder(nights.first, "evaluate") / "details.json").read_text())["found"]
    scores = json.loads((folder(nights.first, "evaluate") / "metrics.json").read_text())["model"]
    watched = json.loads((folder(nights.first, "evaluate") / "reference.json").read_text())
    if nights.task == "clustering":
        assert watched["(prediction)"]["kind"] == "predicted_class"
        assert set(watched["(prediction)"]["categories"]) >= {"0", "1", "2"}
        assert found.startswith("3 clusters")
        assert scores["davies_bouldin"] < 1
    else:
        assert found.startswith("2 components")
        assert scores["explained_variance"] > 0.9


def test_pages_have_no_sections_of_labels(nights: SimpleNamespace) -> None:
    card = (folder(nights.first, "evaluate") / "card.html").read_text()
    assert "no target" in card
    assert "linear model" not in card
    assert 'id="why"' not in card
    assert 'id="profile"' in card
    drawn = {path.name for path in (folder(nights.first, "evaluate") / "plots").iterdir()}
    assert drawn == {"map.png", "silhouettes.png" if nights.task == "clustering" else "variance.png"}
    assert card.count("data:image/png") == 2
    found = json.loads((folder(nights.first, "evaluate") / "details.json").read_text())["profile"]
    assert {entry["column"] for entry in found["columns"]} == set(COLUMNS)
    page = next((nights.settings.docs / "groups").rglob("*.html")).read_text()
    assert "There is no target" in page
    assert f'task="{nights.task}"' in nights.report.dag.read_text()
    assert "target" not in nights.report.dag.read_text().partition("INGEST =")[0].partition("MODEL =")[2]


def test_a_file_and_single_rows_get_equal_predictions(nights: SimpleNamespace) -> None:
    asked = rows(60, seed=7)
    asked.to_csv(nights.folder / "asked.csv", index=False)
    predict_file(
        nights.settings, nights.first.ledger, "groups", nights.folder / "asked.csv", nights.folder / "out.csv", None
    )
    batch = pd.read_csv(nights.folder / "out.csv", dtype={"prediction": str})
    predictions = [predictor_of(nights).predict_rows([row])[0] for row in json.loads(asked.to_json(orient="records"))]
    if nights.task == "clustering":
        assert [prediction["prediction"] for prediction in predictions] == batch["prediction"].tolist()
        assert set(batch["prediction"]) <= {"0", "1", "2", "noise"}
        groups = pd.crosstab(asked["kind"].str.strip(), batch["prediction"])
        assert groups.max(axis=1).sum() >= 57
    else:
        assert list(batch.columns) == ["id", "component_1", "component_2"]
        np.testing.assert_allclose(
            [prediction["components"] for prediction in predictions], batch.iloc[:, 1:], rtol=1e-9
        )


def test_a_prediction_is_explained_and_no_row_gives_none(nights: SimpleNamespace) -> None:
    steps = explain(nights.settings, nights.first.ledger, "groups", None, None)
    assert [member["answer"] for member in steps["members"]] == [steps["combination"]["answer"]]
    assert steps["combination"]["formula"] == "member 0"
    assert set(steps["answer"]) == {"prediction" if nights.task == "clustering" else "components"}
    empty = predictor_of(nights).predict_frame(rows(0))
    assert len(empty) == 0
    assert len(empty.columns) == (1 if nights.task == "clustering" else 2)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("stage", "spec", "told"),
    [
        ("features", {"steps": [{"kind": "target_encode", "columns": ["kind"]}]}, "no target for a step to read"),
        ("features", {"steps": [{"kind": "select", "by": "shadow"}]}, "no target for a step to read"),
        ("tune", {"trials": 2, "families": ["lightgbm"]}, "a family cannot learn the task"),
        ("tune", {"trials": 2, "augment": "smote"}, "no classes to augment"),
        ("ensemble", {"methods": ["stacking"]}, "nothing is combined"),
        ("ensemble", {"threshold": 0.3}, "a threshold is for two classes"),
        ("ensemble", {"max_bytes": 1000}, "no trial makes a model"),
        ("evaluate", {"slices": ["kind"]}, "no labels to judge this by"),
    ],
)
def test_settings_that_need_a_label_are_refused(
    nights: SimpleNamespace, stage: str, spec: dict[str, Any], told: str
) -> None:
    chain = Chain(nights.settings, nights.report.model, f"bad-{stage}", {stage: spec})
    chain.results = nights.second.results
    request = Request.model_validate_json(chain.request(stage).read_bytes())
    with pytest.raises(SpecError, match=told) as caught:
        run_stage(request, nights.settings)
    assert caught.value.cure


@pytest.mark.fault
def test_limits_block_without_labels_too(nights: SimpleNamespace) -> None:
    chain = Chain(nights.settings, nights.report.model, "limits", {"evaluate": {"max_megabytes": 1e-6, "floor": 2.0}})
    chain.results = nights.second.results
    verdict = run_stage(Request.model_validate_json(chain.request("evaluate").read_bytes()), nights.settings).ref.meta
    assert verdict["verdict"] == "kept"
    assert [why.split(",")[0] for why in verdict["reasons"]][1].startswith("the model directory has")


def test_a_dated_model_seals_its_latest_days(home: settings_module.Settings, tmp_path: Path) -> None:
    dated = rows(600).assign(day=lambda frame: pd.Timestamp("2026-01-01") + pd.to_timedelta(frame["id"] // 15, "D"))
    dated.to_csv(tmp_path / "rows.csv", index=False)
    model = ModelSpec(name="groups", task="clustering", key=("id",), time="day")
    chain = Chain(home, model, "n1", {"ingest": {"source": str(tmp_path / "rows.csv")}})
    chain.run_here("ingest", "sample", "clean", "split")
    split = json.loads((folder(chain, "split") / "report.json").read_text())
    assert split["how"] == "blocks of days"
    train, sealed = (
        storage.read_table(folder(chain, "split") / side)["_time"].to_pandas() for side in ("train", "sealed")
    )
    assert train.max() < sealed.min()


@pytest.mark.fault
def test_equal_rows_are_refused(home: settings_module.Settings, tmp_path: Path) -> None:
    rows(1).loc[[0] * 60].assign(id=range(60)).to_csv(tmp_path / "rows.csv", index=False)
    model = ModelSpec(name="groups", task="clustering", key=("id",))
    chain = Chain(home, model, "n1", {"ingest": {"source": str(tmp_path / "rows.csv"), "seal_share": 0.2}})
    with pytest.raises(DataError, match="no column is left to learn from"):
        chain.run_here("ingest", "sample", "clean", "split", "features")


@pytest.mark.fault
def test_init_wants_a_target_or_a_task_without_one(home: settings_module.Settings, tmp_path: Path) -> None:
    rows(60).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(SpecError, match="--task clustering"):
        init_model("groups", str(tmp_path / "rows.csv"), dags=tmp_path / "dags")
    with pytest.raises(SpecError, match="a clustering model has no target"):
        init_model("groups", str(tmp_path / "rows.csv"), "kind", task="clustering", dags=tmp_path / "dags")
    assert not (tmp_path / "dags").exists()
