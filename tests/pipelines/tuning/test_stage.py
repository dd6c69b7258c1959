from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import learning
import numpy as np
import pytest

from pipelines.algorithms.augment import AUGMENT, smote
from pipelines.algorithms.base import Family, Limit
from pipelines.algorithms.catalogue import family
from pipelines.algorithms.table import Columns
from pipelines.ensembling.candidates import load_candidates
from pipelines.ensembling.refit import refit
from pipelines.errors import SpecError
from pipelines.settings import Settings
from pipelines.storage import read_table
from pipelines.tuning import stage as tuning
from pipelines.tuning.budget import Budget
from pipelines.tuning.crossval import cross_validate
from pipelines.tuning.proposals import Answer, Proposal, Study
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


def in_process(
    columns: Columns,
    families: dict[str, Family],
    study: Study,
    budget: Budget,
    folder: Path,
    seed: int,
    session: object,
) -> list[Outcome]:
    """Run the trials of a study one after the other, as Ray's workers do."""
    outcomes = []
    for number in range(budget.trials or 0):
        proposal = study.propose()
        found = cross_validate(families[proposal.family], proposal.params, columns, seed=seed)
        np.save(folder / f"{number:05d}.npy", found.oof, allow_pickle=False)
        answer = Answer("done", found.loss, tuple(found.fold_losses), learned=tuple(found.learned))
        study.answer(number, answer)
        outcomes.append(Outcome(proposal, answer))
    return outcomes


def test_augmentation_is_searched_recorded_and_refitted_the_same(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, columns = learning.make_night(), learning.make_columns(rows=300)
    columns = dataclasses.replace(columns, y=(np.arange(300) % 7 == 0).astype(np.float64))
    monkeypatch.setattr(tuning, "load_columns", lambda folder, model: columns)
    monkeypatch.setattr("pipelines.tuning.search.search", in_process)
    out = tmp_path / "tune"
    out.mkdir()
    spec = TuneSpec(families=("linear",), trials=2, augment="smote")
    tuning.run(spec, night=night, settings=home, out=out, features=learning.artifact("features", tmp_path))
    rows = read_table(out / "trials").to_pylist()
    assert [json.loads(row["params"])[AUGMENT] for row in rows] == ["none", "smote"]
    assert rows[0]["score"] != rows[1]["score"]
    candidates, _ = load_candidates(out, columns)
    chosen = [candidate for candidate in candidates if candidate.params[AUGMENT] == "smote"]
    fitted = refit(chosen, columns, seed=0, cores=2, threads=1)[0][1]
    grown = smote(columns.whole(), columns.shape, seed=0)
    own = {name: value for name, value in chosen[0].params.items() if name != AUGMENT}
    again = family("linear").fit(own, grown, None, columns.shape, seed=0, threads=1, limit=Limit())
    np.testing.assert_array_equal(fitted.predict(columns.X), again.predict(columns.X))


def test_a_regression_is_not_augmented(home: Settings, tmp_path: Path) -> None:
    night = learning.make_night("regression")
    features = learning.artifact("features", tmp_path)
    with pytest.raises(SpecError, match="no classes to augment"):
        tuning.run(TuneSpec(augment="smote"), night=night, settings=home, out=tmp_path, features=features)
