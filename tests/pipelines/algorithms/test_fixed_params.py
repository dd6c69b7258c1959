"""Settings that are fixed instead of searched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from learning import make_columns
from optuna.distributions import CategoricalDistribution

from pipelines.algorithms.base import FitContext, TaskInfo
from pipelines.algorithms.families import family
from pipelines.algorithms.fixed_params import Pinned, check_fixed
from pipelines.errors import SpecError
from pipelines.tuning.crossval import cross_validate
from pipelines.tuning.initial_points import starts
from pipelines.tuning.samplers import sampler_for
from pipelines.tuning.study import Study
from pipelines.tuning.trials import TrialResult

SHAPE = TaskInfo("clustering", "silhouette", 0, 1000, ("number", "number"), (0, 0))


def test_what_is_fixed_is_the_same_in_every_configuration() -> None:
    pinned = Pinned(family("kmeans"), {"clusters": 5})
    assert pinned.portfolio(SHAPE) == ({"clusters": 5, "levels": 10},), "three numbers of clusters are one now"
    assert pinned.space(SHAPE)["clusters"] == CategoricalDistribution((5,))
    assert set(pinned.space(SHAPE)) == set(family("kmeans").space(SHAPE))
    tried = starts({"kmeans": pinned}, SHAPE, [{"family": "kmeans", "params": {"clusters": 7, "levels": 20}}])
    assert [start.params for start in tried] == [{"clusters": 5, "levels": 20}]


@pytest.mark.parametrize("strategy", ["bayesian", "random", "grid", "nsga2", "cmaes", "population"])
def test_every_strategy_keeps_to_it(strategy: str) -> None:
    shape = make_columns().shape
    space = Pinned(family("lightgbm"), {"num_leaves": 31, "learning_rate": 0.05}).space(shape)
    sampler = sampler_for(strategy, space, seed=0, grid_points=2)
    drawn = [sampler.ask(number) for number in range(6)]
    assert {(params["num_leaves"], params["learning_rate"]) for params in drawn if params} == {(31, 0.05)}
    assert len({str(params) for params in drawn}) == 6, "the others are searched"


def test_a_number_may_lie_outside_what_is_searched() -> None:
    columns = make_columns()
    pinned = Pinned(family("decision_tree"), {"min_samples_leaf": 250})
    assert pinned.inner.space(columns.shape)["min_samples_leaf"].high < 250  # type: ignore[attr-defined]
    params = pinned.default(columns.shape)
    fitted = pinned.fit(params, columns.whole(), None, columns.shape, FitContext())
    assert len(np.unique(fitted.predict(columns.X)[:, 1])) <= len(columns.y) // 250
    assert np.isfinite(cross_validate(pinned, params, columns, seed=0).loss)


def test_values_take_the_type_that_the_library_wants() -> None:
    shape = make_columns().shape
    params = Pinned(family("lightgbm"), {"num_leaves": 31.0, "learning_rate": 1, "max_bin": 255.0}).default(shape)
    assert [repr(params[name]) for name in ("num_leaves", "learning_rate", "max_bin")] == ["31", "1.0", "255"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("leaves", 3, "num_leaves"),
        ("num_leaves", 7.5, "a whole number from 1"),
        ("num_leaves", 0, "a whole number from 1"),
        ("num_leaves", True, "a whole number from 1"),
        ("learning_rate", "fast", "a number from 0"),
        ("learning_rate", -0.1, "a number from 0"),
        ("learning_rate", float("nan"), "a number from 0"),
        ("max_bin", 100, "one of 63, 255, 1023"),
        ("max_bin", True, "one of 63"),
    ],
)
def test_what_cannot_be_is_refused(name: str, value: Any, reason: str) -> None:
    wrong = Pinned(family("lightgbm"), {name: value})
    other = Pinned(family("linear"), {"colour": 1})
    with pytest.raises(SpecError) as caught:
        check_fixed([family("linear"), wrong, other], make_columns().shape)
    assert reason in str(caught.value.expected)
    assert caught.value.seen == f"lightgbm: {name}={value!r}"
    assert len(caught.value.faults) == 2, "all of them at once"
    check_fixed([Pinned(family("lightgbm"), {"lambda_l1": 0})], make_columns().shape)


def test_nothing_is_tried_twice_where_all_is_fixed() -> None:
    pinned = Pinned(family("kmeans"), {"clusters": 5, "levels": 10})
    study = Study({"kmeans": pinned}, SHAPE, seed=0, generation=1, folds=3)
    assert study.propose() is not None
    study.record(0, TrialResult("done", 0.5, (0.5, 0.5, 0.5), seconds=1.0))
    assert study.propose() is None
