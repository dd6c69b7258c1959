from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learning import found_trials, make_columns
from real import real_columns

from pipelines.algorithms.base import FitContext
from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.build import build
from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.ensembling.combination.prune_members import fewer_members
from pipelines.ensembling.combination.selection import Choice
from pipelines.ensembling.compression.distil import Student, student
from pipelines.ensembling.compression.member_compression import fewer_trees, shorter_numbers
from pipelines.ensembling.cost import measure
from pipelines.ensembling.fitting.nested_oof import Nested
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.inference.members.combination_nodes import EnsembleNode
from pipelines.inference.members.registry import Member, load_member
from pipelines.metrics import METRICS
from pipelines.tuning.crossval import cross_validate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]


def fitted(name: str, columns: Columns) -> Member:
    learner = family(name)
    raw = {**learner.default(columns.shape), **({"iterations": 40} if name != "extra_trees" else {})}
    return learner.fit(raw, columns.whole(), None, columns.shape, FitContext()).member


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "extra_trees"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_shorter_numbers_predict_nearly_alike_in_less_space(name: str, task: str, tmp_path: Path) -> None:
    columns = make_columns(task, rows=500)
    member = fitted(name, columns)
    short = shorter_numbers(member, columns.X)
    assert short is not None
    scale = np.abs(member.predict(columns.X)).max()
    np.testing.assert_allclose(short.predict(columns.X), member.predict(columns.X), atol=2e-4 * scale)
    assert measure(EnsembleNode((short,))).bytes < 0.95 * measure(EnsembleNode((member,))).bytes
    again = load_member(tmp_path, short.save(tmp_path, "0"))
    np.testing.assert_array_equal(again.predict(columns.X), short.predict(columns.X))


@pytest.mark.parametrize("name", ["lightgbm", "catboost", "extra_trees"])
def test_fewer_trees_are_the_first_ones(name: str) -> None:
    columns = make_columns(rows=500)
    member = fitted(name, columns)
    half = fewer_trees(member, 0.5)
    assert half is not None
    assert measure(EnsembleNode((half,))).trees == measure(EnsembleNode((member,))).trees // 2
    assert measure(EnsembleNode((half,))).bytes < 0.8 * measure(EnsembleNode((member,))).bytes
    assert METRICS["roc_auc"].score(columns.y, half.predict(columns.X), columns.w) > 0.8
    one = fewer_trees(member, 1e-9)
    assert one is not None
    assert fewer_trees(one, 0.5) is None
    assert fewer_trees(fitted("linear", columns), 0.5) is None


def test_members_that_do_not_pay_are_dropped_within_the_bound() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=2_000)
    good = y + rng.normal(scale=0.3, size=2_000)
    predictions = [good, y + rng.normal(scale=0.3, size=2_000), good + rng.normal(scale=0.01, size=2_000)]
    combine = {"kind": "weighted_average", "weights": [0.4, 0.5, 0.1]}
    w = np.ones(2_000)
    choice, steps = fewer_members(Choice(combine, good, {}), predictions, y, w, "rmse", 0.01)
    assert [weight > 0 for weight in choice.combine["weights"]] == [True, True, False]
    assert sum(choice.combine["weights"]) == pytest.approx(1.0)
    assert steps[0]["dropped"] == 1
    same, none = fewer_members(Choice(combine, good, {}), predictions, y, w, "rmse", 0.0)
    assert (same.combine, none) == (combine, [])


@pytest.mark.real_data
def test_compression_of_adult_keeps_its_bound_on_rows_that_nobody_saw(shared_data: Path) -> None:
    columns, other = real_columns(shared_data, "adult", 2_000)
    trials = found_trials(columns, ("lightgbm", "extra_trees"))
    spec = EnsembleSpec(methods=("weighted_average",), pick="best", max_loss=0.02)
    plain = build(trials, columns, spec.model_copy(update={"compress": ()}), seed=0, cores=2, seconds=None)
    small = build(trials, columns, spec, seed=0, cores=2, seconds=None)
    facts = small.certificate
    assert facts["bytes"] < 0.9 * facts["bytes_before"] <= 0.9 * plain.certificate["bytes_before"]
    assert facts["loss"] <= facts["bound"] == pytest.approx(0.02 * (1 - facts["score"]))
    assert {step["step"] for step in facts["steps"]} >= {"quantise"}

    def auc(built: object) -> float:
        predictions: list[np.ndarray] = []
        for _, node in built.members:  # type: ignore[attr-defined]
            predictions.append(node.predict(other.X, predictions))
        weights = built.combine["weights"]  # type: ignore[attr-defined]
        mixed = sum(weight * one for weight, one in zip(weights, predictions, strict=True))
        return METRICS["roc_auc"].score(other.y, np.asarray(mixed), other.w)

    assert auc(small) > auc(plain) - 2 * facts["bound"]


@pytest.mark.real_data
def test_a_student_replaces_the_ensemble_only_within_the_bound(shared_data: Path) -> None:
    columns, other = real_columns(shared_data, "california_housing", 1_500, folds=2)
    trials = found_trials(columns, ("extra_trees", "linear"))
    spec = EnsembleSpec(methods=("weighted_average",), pick="best", compress=("distil",), max_loss=0.1)
    taught = build(trials, columns, spec, seed=0, cores=2, seconds=None)
    assert taught.combine["kind"] == "student", taught.left_out
    assert len(taught.members) == 1
    assert set(taught.members[0][0].trials) == {0, 1}, "those that it imitates"
    step = taught.certificate["steps"][0]
    assert step["step"] == "distil"
    assert taught.certificate["bytes"] < taught.certificate["bytes_before"]
    assert step["score_after"] <= 1.1 * step["score_before"]
    y_pred = taught.members[0][1].predict(other.X)
    assert METRICS["rmse"].score(other.y, y_pred, other.w) == pytest.approx(step["score_after"], rel=0.1)
    strict = build(trials, columns, spec.model_copy(update={"max_loss": 0.0}), seed=0, cores=2, seconds=None)
    assert strict.combine["kind"] != "student" or step["score_after"] <= step["score_before"]


def test_teachers_of_a_student_read_predictions_made_without_the_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = make_columns(rows=300, folds=3)
    read: list[tuple[int, int]] = []
    plain, given = Nested.learned_from, student

    def watched(self: Nested, number: int, fold: int) -> np.ndarray:
        predictions = plain(self, number, fold)
        assert np.isnan(predictions[columns.fold == fold]).all(), "none of its own rows"
        read.append((number, fold))
        return predictions

    def taught(*args: Any, **options: Any) -> Student:
        read.clear()  # what the members themselves were fitted with
        return given(*args, **options)

    monkeypatch.setattr(Nested, "learned_from", watched)
    monkeypatch.setattr("pipelines.ensembling.build.student", taught)
    monkeypatch.setattr(
        "pipelines.ensembling.combination.selection.pick",
        lambda points, *_: next(p for p in points if p.method == "cascade"),
    )
    spec = EnsembleSpec(methods=("cascade",), compress=("distil",))
    built = build(found_trials(columns, ("linear", "decision_tree")), columns, spec, seed=0, cores=1, seconds=None)
    assert sorted(fold for _, fold in read) == [0, 1, 2], built.left_out


def test_a_broken_student_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = make_columns("regression", rows=300)
    learner = family("linear")
    raw = learner.default(columns.shape)
    trial = cross_validate(learner, raw, columns, seed=0)
    one = Candidate(0, "linear", raw, trial.oof, trial.loss, 0.1, raw)
    monkeypatch.setattr("pipelines.ensembling.compression.distil.FAMILY", "linear")
    monkeypatch.setattr("pipelines.ensembling.compression.distil.SMALL", {})
    poisoned = dataclasses.replace(columns, X=np.where(np.isnan(columns.X), 0.0, columns.X))
    monkeypatch.setattr("pipelines.ensembling.compression.distil.scores_of", lambda y_pred: y_pred[:, None] * np.nan)
    built = build([one], poisoned, EnsembleSpec(compress=("distil",)), seed=0, cores=1, seconds=None)
    assert built.combine["kind"] == "single"
    assert built.left_out[0]["method"] == "student"
