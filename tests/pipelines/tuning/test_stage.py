from __future__ import annotations

import json
from pathlib import Path

import learning
import numpy as np
import pytest

from pipelines.algorithms.augment import AUGMENT, Augmented
from pipelines.algorithms.catalogue import family
from pipelines.algorithms.table import load_columns
from pipelines.ensembling.candidates import load_candidates
from pipelines.ensembling.refit import refit
from pipelines.errors import SpecError
from pipelines.settings import Settings
from pipelines.storage import read_table
from pipelines.tuning import stage as tuning
from pipelines.tuning.crossval import cross_validate
from pipelines.tuning.proposals import Answer, Proposal
from pipelines.tuning.search import Outcome
from pipelines.tuning.spec import TuneSpec
from pipelines.tuning.stage import _check, _journal


def outcome(number: int, state: str, loss: float = 0.5) -> Outcome:
    error = "planted failure" if state == "failed" else ""
    return Outcome(Proposal(number, "linear", {"strength": 1.0}, False), Answer(state, loss=loss, error=error))


@pytest.mark.fault
def test_below_half_success_is_an_error_that_names_each_failure() -> None:
    with pytest.raises(SpecError, match="too few trials") as caught:
        _check([outcome(0, "done"), outcome(1, "failed"), outcome(2, "failed")])
    assert caught.value.faults == ["trial 2 linear: planted failure", "trial 3 linear: planted failure"]
    with pytest.raises(SpecError, match="0 of 1"):
        _check([outcome(0, "cut")])


def test_best_first_and_pruned_is_no_failure() -> None:
    done = _check([outcome(0, "done", 0.4), outcome(1, "pruned"), outcome(2, "done", 0.3), outcome(3, "failed")])
    assert [found.proposal.number for found in done] == [2, 0]


def test_journal_holds_the_score_in_the_metric_s_own_direction() -> None:
    table = _journal([outcome(0, "done", -0.9)], "roc_auc")
    assert table["score"].to_pylist() == [0.9]
    assert table["params"].to_pylist() == ['{"strength":1.0}']


def test_augmentation_is_searched_recorded_and_refitted_the_same(home: Settings, tmp_path: Path) -> None:
    night = learning.make_night()
    stages = learning.data_stages(tmp_path, home, night, learning.raw_table(rows=400))
    spec = TuneSpec(families=("linear",), trials=2, augment="smote")
    out = tmp_path / "tune"
    out.mkdir()
    tuning.run(spec, night=night, settings=home, out=out, features=stages["features"])
    rows = read_table(out / "trials").to_pylist()
    assert [json.loads(row["params"])[AUGMENT] for row in rows[:2]] == ["none", "smote"]
    assert rows[0]["score"] != rows[1]["score"]
    columns = load_columns(stages["features"].path, night.model)
    candidates, _ = load_candidates(out, columns)
    again = cross_validate(Augmented(family("linear")), json.loads(rows[1]["params"]), columns, seed=0)
    np.testing.assert_array_equal(again.oof, np.load(out / "oof" / "00001.npy", allow_pickle=False))
    augmented = [candidate for candidate in candidates if candidate.params[AUGMENT] == "smote"]
    twice = [refit(augmented, columns, seed=0, cores=cores, threads=1)[0] for cores in (1, 2)]
    for number, made in twice[0].items():
        np.testing.assert_array_equal(made.predict(columns.X), twice[1][number].predict(columns.X))


def test_a_regression_is_not_augmented(home: Settings, tmp_path: Path) -> None:
    night = learning.make_night("regression")
    features = learning.artifact("features", tmp_path)
    with pytest.raises(SpecError, match="no classes to augment"):
        tuning.run(TuneSpec(augment="smote"), night=night, settings=home, out=tmp_path, features=features)
