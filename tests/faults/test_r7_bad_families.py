"""R7: families that always fail, are constant or return NaN do not decide anything, in the search or the model."""

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import learning
import numpy as np
import pytest
from learning import FakeFamily
from searching import run_here

from pipelines.algorithms.registry import ALGORITHMS, Algorithm
from pipelines.algorithms.training_data import load_columns
from pipelines.ensembling import stage as ensembling
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.metrics import METRICS
from pipelines.settings import Settings
from pipelines.storage import read_table
from pipelines.tuning import stage as tuning
from pipelines.tuning.spec import TuneSpec
from pipelines.tuning.trial_runner import oof_path

BAD = ("raise", "nan", "constant")


@pytest.mark.fault
@pytest.mark.parametrize("strategy", ["bayesian", "population"])
def test_bad_families_are_left_out_and_named(
    strategy: str, home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = learning.make_columns(rows=300, folds=3)
    monkeypatch.setattr(tuning, "load_columns", lambda folder, model: columns)
    for mode in (*BAD, "good"):
        monkeypatch.setitem(ALGORITHMS, mode, Algorithm(mode, f"{__name__}:{mode}", ALGORITHMS["linear"].member))
    monkeypatch.setattr(tuning, "family", FakeFamily)
    monkeypatch.setattr("pipelines.tuning.search.search", run_here)
    spec = TuneSpec(trials=14, strategy=strategy, pruning="none").model_copy(update={"families": (*BAD, "good")})
    tuning.run(
        spec, night=learning.make_night(), settings=home, out=tmp_path, features=learning.artifact("features", tmp_path)
    )
    found = json.loads((tmp_path / "search.json").read_text())
    assert {entry["family"] for entry in found["left_out"]} == {"raise", "nan"}
    assert {"raise", "nan"} <= set(found["dropped"]) <= set(BAD)
    assert found["best"]["family"] == "good"
    trials = read_table(tmp_path / "trials").to_pylist()
    spent = Counter(trial["family"] for trial in trials)
    assert max(spent[name] for name in BAD) <= 2, "what they cost is bounded"
    oof = np.load(oof_path(tmp_path / "oof", found["best"]["number"]), allow_pickle=False)
    assert METRICS["roc_auc"].score(columns.y, oof, columns.w) == found["best"]["score"] > 0.8


@pytest.mark.fault
def test_the_model_is_as_good_as_its_best_member(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for mode in BAD:
        monkeypatch.setitem(ALGORITHMS, mode, Algorithm(mode, f"{__name__}:{mode}", ALGORITHMS["linear"].member))
        monkeypatch.setattr(sys.modules[__name__], mode, partial(FakeFamily, mode), raising=False)
    monkeypatch.setattr("pipelines.tuning.search.search", run_here)
    night = learning.make_night()
    made = learning.data_stages(tmp_path, home, night, learning.raw_table(rows=400))
    for name in ("tune", "ensemble"):
        (tmp_path / name).mkdir()
    families = (*BAD, "linear", "decision_tree")
    spec = TuneSpec(trials=8, pruning="none").model_copy(update={"families": families})
    tuning.run(spec, night=night, settings=home, out=tmp_path / "tune", features=made["features"])
    ensembling.run(
        EnsembleSpec(),
        night=night,
        settings=home,
        out=tmp_path / "ensemble",
        features=made["features"],
        tune=learning.artifact("tune", tmp_path / "tune"),
        cleaned=made["cleaned"],
    )
    search = json.loads((tmp_path / "tune" / "search.json").read_text())
    report = json.loads((tmp_path / "ensemble" / "report.json").read_text())
    assert {entry["family"] for entry in (*search["left_out"], *report["left_out"])} >= set(BAD)
    assert not {member["family"] for member in report["members"]} & set(BAD)

    columns = load_columns(made["features"].path, night.model)
    best = np.load(oof_path(tmp_path / "tune" / "oof", search["best"]["number"]), allow_pickle=False)
    whole = np.load(tmp_path / "ensemble" / "oof.npy", allow_pickle=False)
    draw = np.random.default_rng(0)
    rows = [draw.integers(len(columns.y), size=len(columns.y)) for _ in range(100)]
    error = float(np.std([METRICS["roc_auc"].score(columns.y[some], best[some], columns.w[some]) for some in rows]))
    score = METRICS["roc_auc"].score(columns.y, whole, columns.w)
    assert 0.005 < error < 0.05
    assert score >= search["best"]["score"] - error
