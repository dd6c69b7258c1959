from __future__ import annotations

import time

import numpy as np
import pytest
from learning import make_columns

from pipelines.algorithms.base import Dataset, FitContext, Limit, TaskInfo
from pipelines.algorithms.lightgbm import LightGBM
from pipelines.metrics import METRICS


def fit(
    columns: object, part: Dataset, valid: Dataset | None, shape: TaskInfo, **params: object
) -> tuple[LightGBM, object]:
    learner = LightGBM()
    settings = {**learner.default(shape), **params}
    return learner, learner.fit(settings, part, valid, shape, FitContext())


def test_early_stopping_keeps_the_best_iteration_only() -> None:
    columns = make_columns(rows=1200)
    train, valid = columns.part(columns.fold != 0), columns.part(columns.fold == 0)
    _, fitted = fit(columns, train, valid, columns.shape)
    assert fitted.member.booster.num_trees() == fitted.learned["iterations"] < 1000  # type: ignore[attr-defined]


def test_settle_fixes_what_the_folds_came_to() -> None:
    slow = [{"iterations": 10.0, "learning_rate": 0.1}, {"iterations": 15.0, "learning_rate": 0.1}]
    assert LightGBM().settle({"learning_rate": 0.1}, slow) == {"learning_rate": 0.1, "iterations": 15}
    hurried = [{"iterations": 10.0, "learning_rate": 0.3}, {"iterations": 15.0, "learning_rate": 0.1}]
    assert LightGBM().settle({"learning_rate": 0.1}, hurried)["learning_rate"] == pytest.approx(0.2)


def test_a_short_limit_takes_longer_steps() -> None:
    columns = make_columns(rows=4000)
    learner = LightGBM()
    train, valid = columns.part(columns.fold != 0), columns.part(columns.fold == 0)
    params = {**learner.default(columns.shape), "num_leaves": 160}
    fitted = learner.fit(params, train, valid, columns.shape, FitContext(limit=Limit(soft=time.time() + 0.25)))
    assert fitted.learned["learning_rate"] > 0.05
    assert METRICS["roc_auc"].score(valid.y, fitted.predict(valid.X), valid.w) > 0.85


def test_more_threads_give_the_same_predictions() -> None:
    columns = make_columns(rows=3000)
    learner = LightGBM()
    params = {**learner.default(columns.shape), "iterations": 40}
    one, two = (
        learner.fit(params, columns.whole(), None, columns.shape, FitContext(threads=threads)) for threads in (1, 2)
    )
    np.testing.assert_array_equal(one.predict(columns.X), two.predict(columns.X))


def test_rare_classes_do_not_collapse() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 3))
    y = np.zeros(3000)
    y[:6], y[6:14] = 1.0, 2.0
    shape = TaskInfo("multiclass", "log_loss", 3, 3000, ("number",) * 3, (0,) * 3)
    fold = np.arange(3000) % 3
    learner = LightGBM()
    loss = []
    for held in range(3):
        train = Dataset(X[fold != held], y[fold != held], np.ones((fold != held).sum()))
        valid = Dataset(X[fold == held], y[fold == held], np.ones((fold == held).sum()))
        fitted = learner.fit(learner.default(shape), train, valid, shape, FitContext())
        loss.append(METRICS["log_loss"].score(valid.y, fitted.predict(valid.X), valid.w))
    assert np.mean(loss) < 0.06


def test_only_the_ratio_of_weights_counts() -> None:
    """A uniform sample of 1 % has weight 100 everywhere, and learns as weight 1 does."""
    columns = make_columns("regression")
    family = LightGBM()
    params = {**family.default(columns.shape), "iterations": 20}

    def predict(weight: float) -> np.ndarray:
        part = columns.whole()._replace(w=columns.w * weight)
        made = family.fit(params, part, None, columns.shape, FitContext())
        return made.predict(columns.X)

    assert np.array_equal(predict(1.0), predict(128.0))
