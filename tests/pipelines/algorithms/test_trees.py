from __future__ import annotations

import numpy as np
import pytest
from learning import make_columns
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pipelines.algorithms.adaboost import AdaBoost, _input
from pipelines.algorithms.base import FitContext, Limit
from pipelines.algorithms.decision_tree import DecisionTree
from pipelines.algorithms.forest import single
from pipelines.metrics import METRICS


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_pruning_takes_leaves_that_do_not_pay(task: str) -> None:
    columns = make_columns(task, rows=1500)
    learner = DecisionTree()
    leaves = []
    for complexity in (1e-6, 1e-3, 3e-2):
        params = {"complexity": complexity, "min_samples_leaf": 2, "max_depth": 24, "smoothing": 0.1}
        fitted = learner.fit(params, columns.whole(), None, columns.shape, FitContext())
        leaves.append(fitted.learned["leaves"])
    assert leaves[0] > 1.2 * leaves[1] > 3 * leaves[2] >= 6


def test_complexity_means_the_same_whatever_the_unit_of_the_target() -> None:
    columns = make_columns("regression")
    learner = DecisionTree()
    params = {**learner.default(columns.shape), "complexity": 3e-3}
    one, other = (
        learner.fit(params, columns.whole()._replace(y=y), None, columns.shape, FitContext())
        for y in (columns.y, 1024.0 * columns.y)
    )
    np.testing.assert_allclose(1024.0 * one.predict(columns.X), other.predict(columns.X), rtol=1e-9)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_without_smoothing_it_predicts_as_scikit_learn(task: str) -> None:
    columns = make_columns(task, rows=900)
    kind = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    model = kind(min_samples_leaf=5, max_depth=9, random_state=0).fit(single(columns.X), columns.y)
    params = {"complexity": 0.0, "min_samples_leaf": 5, "max_depth": 9, "smoothing": 0.0}
    fitted = DecisionTree().fit(params, columns.whole(), None, columns.shape, FitContext())
    rows = make_columns(task, rows=400, seed=4).X
    expected = model.predict(rows) if task == "regression" else model.predict_proba(rows)
    np.testing.assert_allclose(fitted.predict(rows), expected, rtol=1e-12, atol=1e-12)


def test_adaboost_regression_is_scikit_learns_weighted_median() -> None:
    columns = make_columns("regression", rows=500)
    model = AdaBoostRegressor(DecisionTreeRegressor(max_depth=4), n_estimators=25, random_state=0)
    model.fit(_input(columns.X), columns.y)
    params = {"trees": 25, "learning_rate": 1.0, "max_depth": 4}
    fitted = AdaBoost().fit(params, columns.whole(), None, columns.shape, FitContext())
    rows = make_columns("regression", rows=300, seed=8).X
    np.testing.assert_allclose(fitted.predict(rows), model.predict(_input(rows)), rtol=1e-12)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_adaboost_ranks_as_scikit_learn_and_its_probabilities_are_calibrated(task: str) -> None:
    columns = make_columns(task, rows=1500)
    train, valid = columns.part(columns.fold != 0), columns.part(columns.fold == 0)
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=40, learning_rate=0.5, random_state=0)
    model.fit(_input(train.X), train.y)
    params = {"trees": 40, "learning_rate": 0.5, "max_depth": 2}
    y_pred = AdaBoost().fit(params, train, None, columns.shape, FitContext()).predict(valid.X)
    theirs = model.predict_proba(_input(valid.X))
    if task == "binary":
        ranks = [np.argsort(np.argsort(column)) for column in (y_pred[:, 1], theirs[:, 1])]
        assert np.corrcoef(*ranks)[0, 1] > 0.9999
    assert METRICS["log_loss"].score(valid.y, y_pred, valid.w) < 0.97 * METRICS["log_loss"].score(
        valid.y, theirs, valid.w
    )


def test_adaboost_stops_at_the_limit() -> None:
    columns = make_columns()
    params = AdaBoost().default(columns.shape)
    fitted = AdaBoost().fit(params, columns.whole(), None, columns.shape, FitContext(limit=Limit(soft=1.0)))
    assert fitted.learned["trees"] == 5.0
