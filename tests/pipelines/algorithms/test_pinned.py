"""Settings that are fixed instead of searched."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from learning import make_columns
from optuna.distributions import CategoricalDistribution

from pipelines.algorithms.base import Limit, Shape
from pipelines.algorithms.catalogue import family
from pipelines.algorithms.pinned import Pinned
from pipelines.errors import SpecError
from pipelines.tuning.crossval import cross_validate
from pipelines.tuning.samplers import sampler_for
from pipelines.tuning.starts import starts

SHAPE = Shape("clustering", "silhouette", 0, 1000, ("number", "number"), (0, 0))


def test_what_is_fixed_is_the_same_in_every_configuration() -> None:
    pinned = Pinned(family("kmeans"), {"clusters": 5})
    assert pinned.portfolio(SHAPE) == ({"clusters": 5, "levels": 10},), "three numbers of clusters are one now"
    assert pinned.space(SHAPE)["clusters"] == CategoricalDistribution((5,))
    assert set(pinned.space(SHAPE)) == set(family("kmeans").space(SHAPE))
    tried = starts({"kmeans": pinned}, SHAPE, [{"family": "kmeans", "params": {"clusters": 7, "levels": 10}}])
    assert [start.params for start in tried] == [{"clusters": 5, "levels": 10}], "another night knew better"


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
    fitted = pinned.fit(params, columns.whole(), None, columns.shape, seed=0, threads=1, limit=Limit())
    assert len(np.unique(fitted.predict(columns.X)[:, 1])) <= len(columns.y) // 250
    assert np.isfinite(cross_validate(pinned, params, columns, seed=0).loss)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("leaves", 3, "of .*num_leaves"),
        ("num_leaves", 7.5, "a whole number"),
        ("num_leaves", True, "a whole number"),
        ("learning_rate", "fast", "a number"),
        ("learning_rate", float("nan"), "a number"),
    ],
)
def test_what_cannot_be_is_refused(name: str, value: Any, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        Pinned(family("lightgbm"), {name: value}).space(make_columns().shape)
    assert caught.value.where == "TuneSpec.fixed, lightgbm"
    assert re.search(told, str(caught.value.expected))
