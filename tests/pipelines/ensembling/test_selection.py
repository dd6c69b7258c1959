from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.ensembling.candidates.candidate_pool import Pool
from pipelines.ensembling.combination.selection import SLOW_MS, Point, choose, pick
from pipelines.ensembling.cost import Cost
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import SpecError


def point(method: str, by_fold: list[float], row_ms: float = 1.0) -> Point:
    losses = np.array(by_fold)
    return Point(method, {"kind": method, "weights": [1.0]}, losses, float(losses.mean()), losses, Cost(row_ms, 10))


def test_the_simplest_or_the_cheapest_within_noise_wins() -> None:
    single, weighted = point("single", [1.0, 1.2, 0.9], 2.0), point("weighted_average", [0.99, 1.21, 0.89], 1.0)
    assert pick([single, weighted], "simplest") is single
    assert pick([single, weighted], "best") is weighted
    assert pick([single, weighted], "cheapest") is weighted
    assert pick([single, weighted], "frugal", 0.01) is weighted
    assert pick([single, replace(weighted, cost=Cost(3.0, 10))], "frugal", 0.01) is single
    assert pick([single, replace(weighted, cost=Cost(3.0, 10))], "frugal", 0.003) is not single
    slow, quick = point("stacking", [1.0], SLOW_MS + 0.1), point("weighted_average", [1.02], SLOW_MS)
    assert pick([slow, quick], "frugal", 0.005) is quick  # within five times what a frugal choice may cost
    assert pick([slow, quick], "frugal", 0.003) is slow
    cheap = point("single", [1.024], SLOW_MS / 2)
    assert pick([slow, quick, cheap], "frugal", 0.005) is quick  # not more than that once again
    assert pick([slow, quick], "best") is slow
    better = point("weighted_average", [0.95, 1.14, 0.85], 9.0)
    assert pick([single, better], "simplest") is pick([single, better], "cheapest") is better


def test_limits_of_time_and_size_are_kept() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=400)
    predictions = [y + rng.normal(scale=s, size=400) for s in (0.5, 0.52, 0.9)]
    fold = (np.arange(400) % 4).astype(np.int8)
    costs = (Cost(0.4, 4_000), Cost(0.4, 9_000), Cost(0.1, 1_000))
    pool = Pool(("",) * 3, costs, ((),) * 3)

    def used(**limits: float) -> list[bool]:
        spec = EnsembleSpec(pick="best", **limits)
        return [w > 0 for w in choose(predictions, y, np.ones(400), fold, "rmse", spec, pool).combine["weights"]]

    assert used() == [True, True, True]
    assert used(max_row_ms=0.5) == [True, False, True]
    assert used(max_bytes=4_500) == [True, False, False]
    assert used(max_bytes=1_500) == [False, False, True]
    with pytest.raises(SpecError, match=r"at least 0.1 ms and 1,000 bytes"):
        used(max_row_ms=0.01)


def test_noise_members_do_not_fool_the_choice() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1200).astype(float)
    noise = [rng.random(1200) for _ in range(12)]
    predictions = [np.column_stack([1 - p, p]) for p in noise]
    fold = (np.arange(1200) % 4).astype(np.int8)
    choice = choose(predictions, y, np.ones(1200), fold, "roc_auc", EnsembleSpec())
    # Weights fitted to chance look good on their own rows; on rows they were not chosen on they are chance.
    assert all(abs(-loss - 0.5) < 0.05 for loss in choice.losses.values())


def test_honest_predictions_cover_every_row() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=400)
    predictions = [y + rng.normal(scale=s, size=400) for s in (0.5, 0.6, 0.7)]
    fold = (np.arange(400) % 4).astype(np.int8)
    choice = choose(predictions, y, np.ones(400), fold, "rmse", EnsembleSpec())
    assert choice.combine["kind"] in ("weighted_average", "stacking")
    assert np.isfinite(choice.oof).all()
    only = choose(predictions, y, np.ones(400), fold, "rmse", EnsembleSpec(methods=()))
    assert only.combine == {"kind": "single", "weights": [1.0, 0.0, 0.0]}


def test_members_that_are_worse_than_chance_still_make_a_model() -> None:
    """Stacking gives each of them weight 0; the best single one is then left to the gate."""
    y = np.tile([0.0, 1.0], 14)
    p = np.where(y == 1, 0.4, 0.6) + np.linspace(0, 0.05, 28)
    fold = (np.arange(28) % 5).astype(np.int8)
    predictions = [np.column_stack([1 - p, p]), np.column_stack([1 - p + 0.01, p - 0.01])]
    choice = choose(predictions, y, np.ones(28), fold, "roc_auc", EnsembleSpec())
    assert sum(weight > 0 for weight in choice.combine["weights"]) >= 1
