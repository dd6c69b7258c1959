"""Strategies on a bowl: each finds its bottom, or walks its grid to the end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from pipelines.tuning.grid import Grid, levels
from pipelines.tuning.samplers import sampler_for
from pipelines.tuning.trials import TrialResult

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-3, 1.0, log=True),
    "depth": IntDistribution(1, 40),
    "share": FloatDistribution(0.0, 1.0),
    "kind": CategoricalDistribution(("a", "b")),
}


def bowl(params: dict[str, object]) -> float:
    rate, depth, share = (float(str(params[name])) for name in ("rate", "depth", "share"))
    away = (math.log10(rate) + 1.5) ** 2 + ((depth - 25) / 20) ** 2 + (share - 0.3) ** 2
    return away + 0.3 * (params["kind"] == "b")


def best_of(strategy: str, trials: int, seed: int) -> float:
    sampler = sampler_for(strategy, SPACE, seed=seed, grid_points=3)
    losses = []
    for number in range(trials):
        params = sampler.ask(number)
        assert params is not None
        losses.append(bowl(params))
        sampler.tell(number, TrialResult("done", loss=losses[-1], size=int(params["depth"])))
    return min(losses)


@pytest.mark.parametrize("strategy", ["bayesian", "cmaes", "population"])
def test_what_learns_finds_more_than_chance(strategy: str) -> None:
    chance = float(np.median([best_of("random", 50, seed) for seed in range(3)]))
    found = float(np.median([best_of(strategy, 50, seed) for seed in range(3)]))
    assert found < chance


def test_nsga2_weighs_the_score_against_the_size() -> None:
    sampler = sampler_for("nsga2", SPACE, seed=0, grid_points=3)
    found = []
    for number in range(120):
        params = sampler.ask(number)
        assert params is not None
        state = ("failed", "pruned", "done")[min(2, number % 10)]  # one that was given up is learned from as well
        result = (
            TrialResult(state, loss=bowl(params), size=int(params["depth"])) if number % 10 else TrialResult("failed")
        )
        found.append((bowl(params), int(params["depth"])))
        sampler.tell(number, result)
    late, early = found[80:], found[:20]
    assert np.mean([loss for loss, _ in late]) < np.mean([loss for loss, _ in early])
    assert min(depth for _, depth in late) < 15
    assert min(loss for loss, _ in late) < 0.3


def test_a_grid_is_walked_once_to_the_end() -> None:
    grid = Grid(SPACE, seed=3, points=3)
    points = [grid.ask(number) for number in range(grid.size)]
    assert grid.size == 3 * 3 * 3 * 2
    assert len({str(point) for point in points}) == grid.size
    assert grid.ask(grid.size) is None
    first = [point for point in points[:10] if point]
    assert {point["kind"] for point in first} == {"a", "b"}
    assert len({point["depth"] for point in first}) == 3


def test_levels_reach_from_end_to_end() -> None:
    assert levels(FloatDistribution(0.01, 1.0, log=True), 3) == pytest.approx([0.01, 0.1, 1.0])
    assert levels(IntDistribution(1, 2), 5) == [1, 2]
    assert levels(IntDistribution(1, 9, step=4), 3) == [1, 5, 9]
    assert levels(CategoricalDistribution(("x", None)), 7) == ["x", None]
