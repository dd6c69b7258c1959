"""Search, ensemble and evaluation: the same budget in trials gives the same bytes; a budget in seconds is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import learning
import numpy as np
import pytest
from searching import no_ray, run_here

from pipelines import settings as settings_module
from pipelines.algorithms.training_data import load_columns
from pipelines.artifacts import Artifact
from pipelines.ensembling import stage as ensembling
from pipelines.ensembling.candidates.candidates import load_candidates
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import GateError
from pipelines.evaluation import stage as evaluation
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.inference.manifest import verify_manifest
from pipelines.inference.model_directory import ModelDirectory
from pipelines.row_hash import TRAINING_KEYS, key_hash, load_keys, save_keys
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.storage import read_table, write_table
from pipelines.tuning import stage as tuning
from pipelines.tuning.spec import DEFAULT, TuneSpec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

FAMILIES = ("lightgbm", "extra_trees", "linear", "mlp")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_module.load(home=tmp_path_factory.mktemp("home"), cores=2).ensure()


@pytest.fixture(scope="module")
def made(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """One night's data, search and ensemble."""
    root = tmp_path_factory.mktemp("night")
    stages = learning.data_stages(root, settings, learning.make_night(), learning.raw_table(rows=500))
    return learn(root / "first", settings, stages)


FEW = TuneSpec(trials=4, families=FAMILIES, pruning="none")


def learn(
    root: Path, settings: Settings, stages: dict[str, Artifact], spec: TuneSpec = FEW, *, pool: bool = False
) -> dict[str, Artifact]:
    """Search and combine; what the search leaves behind for a retry is removed, so that none takes it up."""
    night = learning.make_night()
    for name in ("tune", "ensemble"):
        (root / name).mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        if pool:
            patch.setattr(tuning, "ray_session", no_ray)
        else:
            patch.setattr("pipelines.tuning.search.search", run_here)  # what Ray adds is tested beside the search
        found = tuning.run(spec, night=night, settings=settings, out=root / "tune", features=stages["features"])
    assert found.stats["resumed"] == 0
    for left in settings.staging.glob("search-*"):
        shutil.rmtree(left)
    tune = learning.artifact("tune", root / "tune", **found.meta)
    built = ensembling.run(
        EnsembleSpec(),
        night=night,
        settings=settings,
        out=root / "ensemble",
        features=stages["features"],
        tune=tune,
        cleaned=stages["cleaned"],
    )
    ensemble = learning.artifact("ensemble", root / "ensemble", trials=built.stats["trials"])
    return {**stages, "tune": tune, "ensemble": ensemble}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_twenty_trials_side_by_side_give_the_bytes_of_one_after_the_other(
    made: dict[str, Artifact], settings: Settings, tmp_path: Path
) -> None:
    """On one core and on two, with all that a search does: families, pruning, proposals that learn from results."""
    stages = {name: made[name] for name in ("cleaned", "split", "features")}
    spec = TuneSpec(trials=20, families=(*DEFAULT[:-1], "decision_tree"))
    alone = learn(tmp_path / "alone", settings.model_copy(update={"cores": 1}), stages, spec)
    beside = learn(tmp_path / "beside", settings, stages, spec, pool=True)
    assert contents(beside["ensemble"].path / "model") == contents(alone["ensemble"].path / "model")
    tables = [
        read_table(made["tune"].path / "trials").drop_columns(["seconds", "fit_seconds"]) for made in (alone, beside)
    ]
    assert tables[0].equals(tables[1])
    assert {"pruned", "done"} <= set(tables[0]["state"].to_pylist())
    assert "search" in tables[0]["origin"].to_pylist()


def test_the_search_tries_every_family_and_keeps_their_predictions(made: dict[str, Artifact]) -> None:
    trials = read_table(made["tune"].path / "trials").to_pylist()
    assert [trial["number"] for trial in trials] == list(range(4))
    assert {trial["family"] for trial in trials} == set(FAMILIES)
    search = json.loads((made["tune"].path / "search.json").read_text())
    assert search["remaining_seconds"] is None
    done = [trial for trial in trials if trial["state"] == "done"]
    assert max(trial["score"] for trial in done) == search["best"]["score"] > 0.85
    for number in search["keep"]:
        assert np.load(made["tune"].path / "oof" / f"{number:05d}.npy", allow_pickle=False).shape == (450, 2)


def test_the_model_directory_is_signed_complete_and_predicts_raw_rows(
    made: dict[str, Artifact], settings: Settings
) -> None:
    model = made["ensemble"].path / "model"
    verify_manifest(model, public_key(settings))
    predictor = ModelDirectory.open(model, public_key(settings)).predictor
    predictions = predictor.predict_rows([{"x0": " 1.5", "x1": "?", "x2": "0", "c": "level 2"}])
    assert 0.5 < predictions[0]["probability"] < 1.0
    assert len(json.loads((model / "golden.json").read_text())["rows"]) > 50
    described = json.loads((model / "model.json").read_text())
    assert {member["device"] for member in described["members"]} == {"cpu"}
    keys = read_table(made["split"].path / "train", ["_key"])["_key"]
    np.testing.assert_array_equal(load_keys(model / TRAINING_KEYS), np.unique(key_hash(keys, 0)))
    report = json.loads((made["ensemble"].path / "report.json").read_text())
    assert report["score"][report["kind"]] > 0.85
    members = {member["number"] for member in report["members"]} - {None}
    assert members <= set(made["ensemble"].ref.meta["trials"]) <= set(range(4))
    assert made["ensemble"].ref.meta["trials"], "the next night begins with these"
    assert np.isfinite(np.load(made["ensemble"].path / "oof.npy", allow_pickle=False)).all()


@pytest.mark.fault
def test_constant_and_broken_predictions_are_left_out_and_named(made: dict[str, Artifact], tmp_path: Path) -> None:
    columns = load_columns(made["features"].path, learning.make_night().model)
    rows = [row for row in read_table(made["tune"].path / "trials").to_pylist() if row["state"] == "done"][:3]
    (tmp_path / "oof").mkdir()
    good = np.load(made["tune"].path / "oof" / f"{rows[0]['number']:05d}.npy", allow_pickle=False)
    planted = [good, np.full_like(good, 0.5), np.where(np.arange(len(good))[:, None] == 5, np.nan, good)]
    for row, oof in zip(rows, planted, strict=True):
        np.save(tmp_path / "oof" / f"{row['number']:05d}.npy", oof)
    table = read_table(made["tune"].path / "trials")
    write_table(type(table).from_pylist(rows, schema=table.schema), tmp_path / "trials")
    candidates, left_out = load_candidates(tmp_path, columns)
    assert [candidate.number for candidate in candidates] == [rows[0]["number"]]
    assert {entry["number"]: entry["why"].split(" are ")[1][:8] for entry in left_out} == {
        rows[1]["number"]: "constant",
        rows[2]["number"]: "not fini",
    }


PLAIN = {"plots": False}


def evaluate(made: dict[str, Artifact], settings: Settings, out: Path, **extra: Any) -> dict[str, Any]:
    out.mkdir()
    night = learning.make_night()
    evaluation.run(
        EvaluateSpec(**extra.pop("spec", {})),
        night=night,
        settings=settings,
        out=out,
        ensemble=made["ensemble"],
        split=made["split"],
        **extra,
    )
    verdict: dict[str, Any] = json.loads((out / "verdict.json").read_text())
    return verdict


def test_first_version_then_itself_as_champion_then_a_backfill(
    made: dict[str, Artifact], settings: Settings, tmp_path: Path
) -> None:
    first = evaluate(made, settings, tmp_path / "1")
    assert (first["verdict"], first["baseline"], first["champion_version"]) == ("promoted", 0.5, None)
    assert first["score"] > 0.8
    assert {path.name for path in (tmp_path / "1" / "plots").iterdir()} >= {
        "roc.png",
        "precision_recall.png",
        "calibration.png",
    }
    reference = json.loads((tmp_path / "1" / "reference.json").read_text())
    assert set(reference) == {"x0", "x1", "x2", "c", "(prediction)"}
    assert sum(reference["x0"]["shares"]) == pytest.approx(1.0)
    assert sum(reference["x1"]["shares"]) == pytest.approx(0.9, abs=0.05)
    model = made["ensemble"].path / "model"
    champion = learning.artifact("ensemble", model, version=3, as_of="2026-02-01T00:00:00+00:00")
    same = evaluate(made, settings, tmp_path / "2", champion=champion, spec=PLAIN)
    assert (same["verdict"], same["improvement"], same["champion_version"]) == ("promoted", 0.0, 3)
    knowing = tmp_path / "knowing"
    shutil.copytree(model, knowing)
    sealed = read_table(made["split"].path / "sealed", ["_key"])["_key"]
    save_keys(knowing / TRAINING_KEYS, key_hash(sealed, 0))
    older = learning.artifact("ensemble", knowing, version=3, as_of="2026-02-01T00:00:00+00:00")
    with pytest.raises(GateError, match="the version that is live trained on sealed rows"):
        evaluate(made, settings, tmp_path / "overlap", champion=older, spec=PLAIN)
    newer = learning.artifact("ensemble", knowing, version=4, as_of="2026-04-01T00:00:00+00:00")
    late = evaluate(made, settings, tmp_path / "3", champion=newer, spec=PLAIN)
    assert late["verdict"] == "kept"
    assert "backfill" in late["sentence"]
