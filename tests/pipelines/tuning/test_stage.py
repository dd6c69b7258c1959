from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import learning
import numpy as np
import pytest
from searching import run_here

from pipelines.algorithms.base import FitContext
from pipelines.algorithms.class_imbalance import AUGMENT, smote
from pipelines.algorithms.families import family
from pipelines.algorithms.registry import ALGORITHMS
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.candidates.candidates import load_candidates
from pipelines.ensembling.fitting.refit import refit
from pipelines.errors import SpecError
from pipelines.settings import Settings
from pipelines.storage import read_table
from pipelines.tuning import stage as tuning
from pipelines.tuning.budget import Budget
from pipelines.tuning.results import check, trials_table, warm_starts
from pipelines.tuning.spec import DEFAULT, TuneSpec
from pipelines.tuning.trials import Proposal, TrialOutcome, TrialResult


def outcome(number: int, state: str, loss: float = 0.5, family: str = "linear") -> TrialOutcome:
    error = "planted failure" if state == "failed" else ""
    return TrialOutcome(
        Proposal(number, family, {"strength": 1.0 + number}, False), TrialResult(state, loss=loss, error=error)
    )


@pytest.mark.fault
def test_below_half_success_is_an_error_that_names_each_failure() -> None:
    with pytest.raises(SpecError, match="too few trials") as caught:
        check([outcome(0, "done"), outcome(1, "failed"), outcome(2, "failed")])
    assert caught.value.faults == ["trial 2 linear: planted failure", "trial 3 linear: planted failure"]
    with pytest.raises(SpecError, match="0 of 1"):
        check([outcome(0, "cut")])


@pytest.mark.fault
def test_a_budget_that_cuts_every_trial_says_the_smallest_that_works() -> None:
    budget = Budget(20.0, None, 2, 4, 5, started=time.time() - 20.0)
    long = TrialOutcome(Proposal(0, "linear", {}, True), TrialResult("cut", seconds=9.0, error="out of time"))
    with pytest.raises(SpecError, match="too small for one trial of anything") as caught:
        check([long], budget)
    assert "at least 5" in str(caught.value)
    slow = [
        TrialOutcome(Proposal(number, "linear", {}, True), TrialResult("cut", seconds=2.0, needs=needs))
        for number, needs in enumerate((90.0, 10.0))
    ]
    budget.start_took = 2.0
    with pytest.raises(SpecError) as caught:
        check(slow, budget)
    assert "at least 25 s" in str(caught.value), "the quickest of them: 2 s before, 15 s for it, 8 s after"


@pytest.mark.parametrize(
    ("spec", "gpus", "few"),
    [
        ({"trials": 2}, 0, True),
        ({"trials": 3}, 0, False),
        ({"budget_seconds": 60.0}, 0, False),
        ({"trials": 2}, 1, False),
        ({"trials": 2, "gpu": "off"}, 1, True),
        ({"budget_seconds": 20.0}, 0, True),
        ({"budget_seconds": 20.0}, 1, False),
    ],
)
def test_ray_is_for_more_trials_than_cores_more_time_or_a_gpu(
    spec: dict[str, Any], gpus: int, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "visible_gpus", lambda: gpus)
    declared = TuneSpec(**spec)
    assert tuning._few(declared, Budget(declared.budget_seconds, declared.trials, 2, 4, 5)) is few


def test_best_first_and_pruned_is_no_failure() -> None:
    done = check([outcome(0, "done", 0.4), outcome(1, "pruned"), outcome(2, "done", 0.3), outcome(3, "failed")])
    assert [found.proposal.number for found in done] == [2, 0]


def test_table_of_trials_holds_the_score_in_the_metric_s_own_direction() -> None:
    table = trials_table([outcome(0, "done", -0.9)], "roc_auc")
    assert table["score"].to_pylist() == [0.9]
    assert table["params"].to_pylist() == ['{"strength":1.0}']


def test_the_next_night_begins_with_the_best_of_the_good_families() -> None:
    losses = [("lightgbm", -0.9 - 0.001 * step) for step in range(8)]
    families = [*losses, ("linear", -0.8), ("mlp", -0.85), ("svm", -0.7)]
    done = check([outcome(number, "done", loss, name) for number, (name, loss) in enumerate(families)])
    warm = warm_starts(done, 8, -1.0, timed=False)
    assert [entry["family"] for entry in warm[:6]] == ["lightgbm"] * 4 + ["mlp", "linear"]
    assert [entry["number"] for entry in warm] == [7, 6, 5, 4, 9, 8, 3, 2, 1, 0], (
        "the best of a family is not forgotten"
    )
    best = {"number": 7, "family": "lightgbm", "params": {"strength": 8.0}, "score": pytest.approx(0.907)}
    assert warm[0] == best
    assert warm_starts(done, 8, -1.0, timed=True)[0] == {**best, "seconds": 0.0}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Columns:
    """The stage on a small table, its trials run in this process."""
    columns = learning.make_columns(rows=300, folds=3)
    monkeypatch.setattr(tuning, "load_columns", lambda folder, model: columns)
    monkeypatch.setattr("pipelines.tuning.search.search", run_here)
    return columns


def tune(spec: TuneSpec, home: Settings, out: Path, **facts: Any) -> dict[str, Any]:
    """Run the stage; return what goes to the ledger."""
    out.mkdir()
    features = learning.artifact("features", out)
    return tuning.run(spec, night=learning.make_night(), settings=home, out=out, features=features, **facts).stats


def test_a_night_begins_where_the_last_one_ended(small: Columns, home: Settings, tmp_path: Path) -> None:
    spec = TuneSpec(families=("decision_tree",), trials=6)
    cold = tune(spec, home, tmp_path / "cold")
    warm = tune(spec, home, tmp_path / "warm", warm=cold["warm"])
    rows = read_table(tmp_path / "warm" / "trials").to_pylist()
    assert rows[0]["origin"] == "warm"
    assert rows[0]["score"] == cold["best"]["score"], "the first trial is as good as the last night's best"
    assert warm["best"]["score"] >= cold["best"]["score"]
    assert json.loads((tmp_path / "warm" / "search.json").read_text())["warm_start"] == cold["warm"]
    off = tune(spec.model_copy(update={"warm_start": False}), home, tmp_path / "off", warm=cold["warm"])
    assert off["best"] == cold["best"]


def test_fixed_settings_are_those_of_every_trial(small: Columns, home: Settings, tmp_path: Path) -> None:
    spec = TuneSpec(families=("decision_tree",), trials=4, fixed={"decision_tree": {"max_depth": 2}})
    tune(spec, home, tmp_path / "shallow")
    params = [json.loads(text) for text in read_table(tmp_path / "shallow" / "trials")["params"].to_pylist()]
    assert [entry["max_depth"] for entry in params] == [2, 2, 2, 2]
    assert len({entry["complexity"] for entry in params}) == 4
    wrong = spec.model_copy(update={"fixed": {"decision_tree": {"max_depth": 0, "depth": 3}}})
    with pytest.raises(SpecError, match="cannot be fixed like that") as caught:
        tune(wrong, home, tmp_path / "wrong")
    assert len(caught.value.faults) == 2
    absent = spec.model_copy(update={"fixed": {"linear": {"pieces": 3}}})
    with pytest.raises(SpecError, match="takes no part") as caught:
        tune(absent, home, tmp_path / "absent")
    assert (caught.value.seen, caught.value.expected) == ("linear", "of decision_tree")


def test_a_slow_family_takes_part_unasked_on_small_tables_alone() -> None:
    families = {name: family(name) for name in DEFAULT}
    assert list(tuning._affordable(families, TuneSpec(), 20_000)) == list(DEFAULT)
    assert [name for name in DEFAULT if name not in tuning._affordable(families, TuneSpec(), 20_001)] == ["mlp"]
    for asked in (TuneSpec(families=("mlp", "linear")), TuneSpec(fixed={"mlp": {"width": 16}})):
        given = {name: family(name) for name in asked.families}
        assert tuning._affordable(given, asked, 1_000_000) == given


def test_a_finished_search_is_not_done_again_and_another_follows_it(
    small: Columns, home: Settings, tmp_path: Path
) -> None:
    spec = TuneSpec(families=("decision_tree",), trials=5, keep=2)
    first = tune(spec, home, tmp_path / "first")
    again = tune(spec, home, tmp_path / "again")
    assert (first["resumed"], again["resumed"]) == (0, 5)
    assert again["best"] == first["best"]
    kept = [{path.name: path.read_bytes() for path in (tmp_path / n / "oof").iterdir()} for n in ("first", "again")]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 2
    assert (tmp_path / "first" / "journal.jsonl").read_text().count("\n") == 6
    tune(spec.model_copy(update={"trials": 2}), home, tmp_path / "other")
    assert len(list(home.staging.glob("search-demo-*"))) == 1


def test_a_family_that_cannot_learn_the_task_is_refused(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, algorithm in ALGORITHMS.items():
        monkeypatch.setitem(ALGORITHMS, name, dataclasses.replace(algorithm, tasks=frozenset({"binary"})))
    features = learning.artifact("features", tmp_path)
    with pytest.raises(SpecError, match="cannot learn the task regression") as caught:
        tuning.run(TuneSpec(), night=learning.make_night("regression"), settings=home, out=tmp_path, features=features)
    assert "leave lightgbm, " in str(caught.value)


def test_augmentation_is_searched_recorded_and_refitted_the_same(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, columns = learning.make_night(), learning.make_columns(rows=300)
    columns = dataclasses.replace(columns, y=(np.arange(300) % 7 == 0).astype(np.float64))
    monkeypatch.setattr(tuning, "load_columns", lambda folder, model: columns)
    monkeypatch.setattr("pipelines.tuning.search.search", run_here)
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
    again = family("linear").fit(own, grown, None, columns.shape, FitContext())
    np.testing.assert_array_equal(fitted.parts[0].predict(columns.X), again.predict(columns.X))


def test_a_regression_is_not_augmented(home: Settings, tmp_path: Path) -> None:
    night = learning.make_night("regression")
    features = learning.artifact("features", tmp_path)
    with pytest.raises(SpecError, match="no classes to augment"):
        tuning.run(TuneSpec(augment="smote"), night=night, settings=home, out=tmp_path, features=features)
