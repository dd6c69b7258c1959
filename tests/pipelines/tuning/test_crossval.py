from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from learning import FakeFamily, make_columns

from pipelines.algorithms.base import Dataset, OutOfTimeError
from pipelines.algorithms.families import family
from pipelines.metrics import METRICS
from pipelines.tuning.crossval import UnfitError, cross_validate

pytestmark = pytest.mark.slow

GOOD = {"strength": 1.0}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_out_of_fold_predictions_cover_every_row_and_score(task: str) -> None:
    columns = make_columns(task)
    learner = family("lightgbm")
    result = cross_validate(learner, learner.default(columns.shape), columns, seed=0)
    assert result.oof.shape == (600, columns.shape.outputs)
    assert np.isfinite(result.oof).all()
    assert len(result.fold_losses) == len(result.learned) == 4
    y_pred = result.oof if task != "regression" else result.oof[:, 0]
    assert result.loss == METRICS[columns.shape.metric].loss(columns.y, y_pred, columns.w)


def test_fits_learn_from_some_rows_and_all_are_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, sizes = make_columns(), []
    fit = FakeFamily.fit

    def watched(
        self: FakeFamily, params: object, train: Dataset, valid: Dataset, *rest: object, **more: object
    ) -> object:
        sizes.append((len(train.y), len(valid.y)))
        return fit(self, params, train, valid, *rest, **more)

    monkeypatch.setattr(FakeFamily, "fit", watched)
    result = cross_validate(FakeFamily("good"), GOOD, columns, seed=0, rows=100)
    assert sizes == [(100, 25)] * 4
    assert np.isfinite(result.oof).all()
    again = cross_validate(FakeFamily("good"), GOOD, columns, seed=0, rows=100)
    np.testing.assert_array_equal(again.oof, result.oof)


def test_a_row_never_sees_its_own_label() -> None:
    columns = make_columns()
    shuffled = dataclasses.replace(columns, y=np.random.default_rng(0).permutation(columns.y))
    scores = []
    for seed in range(5):
        labels = np.random.default_rng(seed).permutation(shuffled.y)
        result = cross_validate(FakeFamily("good"), GOOD, dataclasses.replace(columns, y=labels), seed=0)
        scores.append(-result.loss)
    assert abs(float(np.mean(scores)) - 0.5) < 0.03


def test_rows_of_a_negative_fold_are_trained_on_only() -> None:
    columns = make_columns()
    fold = columns.fold.copy()
    fold[:100] = -1
    result = cross_validate(FakeFamily("good"), GOOD, dataclasses.replace(columns, fold=fold), seed=0)
    assert np.isnan(result.oof[:100]).all()
    assert np.isfinite(result.oof[100:]).all()
    assert np.isfinite(result.loss)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost", "linear", "extra_trees"])
def test_a_trial_that_cannot_end_in_time_says_so_at_once(name: str) -> None:
    columns, learner = make_columns(rows=2_000), family(name)
    params, now = learner.default(columns.shape), time.time()
    with pytest.raises(OutOfTimeError, match="even if it grows little") as caught:
        cross_validate(learner, params, columns, seed=0, soft=now, until=now + 1e-3)
    assert 0.0 < caught.value.needs < 60.0
    assert cross_validate(learner, params, columns, seed=0, soft=now, until=now + 600.0).loss < 0.0


def test_what_time_ended_is_not_fitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that judge did not say how far it grows."""
    fits, columns, learner = [], make_columns(rows=400), family("lightgbm")
    fit = type(learner).fit
    monkeypatch.setattr(type(learner), "fit", lambda self, *rest, **more: fits.append(1) or fit(self, *rest, **more))
    for soft, expected in ((time.time(), 4), (time.time() + 600.0, 8), (None, 8)):
        fits.clear()
        cross_validate(learner, learner.default(columns.shape), columns, seed=0, soft=soft)
        assert len(fits) == expected


def test_not_a_number_is_unfit() -> None:
    with pytest.raises(UnfitError, match="not finite"):
        cross_validate(FakeFamily("nan"), GOOD, make_columns(), seed=0)


def test_the_rows_that_judge_a_fold_of_a_small_table_do_not_say_how_far_its_fit_grows() -> None:
    """With labels that mean nothing, as many fits find too little as find too much."""
    found = []
    for seed in range(12):
        columns = make_columns(rows=400, seed=seed)
        noise = dataclasses.replace(columns, y=np.random.default_rng(seed).permutation(columns.y))
        learner = family("lightgbm")
        result = cross_validate(learner, learner.default(columns.shape), noise, seed=0)
        inside = [noise.fold == fold for fold in noise.folds]
        aucs = [METRICS["roc_auc"].score(noise.y[rows], result.oof[rows], noise.w[rows]) for rows in inside]
        found.append((-np.mean(result.fold_losses), np.mean(aucs)))
    flattered, honest = np.mean(found, axis=0)
    error = np.sqrt(1.0 / (3 * 400) / 12)
    assert flattered > 0.5 + 2 * error, "as bars compare them"
    assert abs(honest - 0.5) < 3 * error


def test_far_behind_is_given_up_after_the_first_fold() -> None:
    columns = make_columns()
    best = (-0.9, -0.9, -0.9, -0.9)
    result = cross_validate(
        FakeFamily("constant"), GOOD, columns, seed=0, rival=best, rival_loss=-0.89, bars=(-0.895, -0.895, -0.895)
    )
    assert result.pruned
    assert len(result.fold_losses) == 1
    assert result.loss == pytest.approx(-0.89 + 0.9 - 0.5)
    spared = cross_validate(FakeFamily("constant"), GOOD, columns, seed=0, rival=best)
    assert not spared.pruned


def test_hard_end_gives_up() -> None:
    with pytest.raises(OutOfTimeError):
        cross_validate(
            family("linear"), family("linear").default(make_columns().shape), make_columns(), seed=0, hard=1.0
        )


def test_soft_end_shares_the_time_among_folds() -> None:
    columns = make_columns(rows=2000)
    learner = family("extra_trees")
    started = time.time()
    result = cross_validate(learner, learner.default(columns.shape), columns, seed=0, soft=started + 0.2)
    assert np.isfinite(result.oof).all()
    assert min(entry["trees"] for entry in result.learned) < 100
