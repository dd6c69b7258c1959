"""R7, the search: families that always fail, are constant or return NaN do not decide anything."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import learning
import numpy as np
import pytest
from learning import FakeFamily
from searching import run_here

from pipelines.algorithms import metrics
from pipelines.settings import Settings
from pipelines.storage import read_table
from pipelines.tuning import stage as tuning
from pipelines.tuning.spec import TuneSpec
from pipelines.tuning.work import oof_path

BAD = ("raise", "nan", "constant")


@pytest.mark.fault
@pytest.mark.parametrize("strategy", ["bayesian", "population"])
def test_bad_families_are_left_out_and_named(
    strategy: str, home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = learning.make_columns(rows=300, folds=3)
    monkeypatch.setattr(tuning, "load_columns", lambda folder, model: columns)
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
    assert metrics.score("roc_auc", columns.y, oof, columns.w) == found["best"]["score"] > 0.8
