from __future__ import annotations

import numpy as np

from pipelines.ensembling.choose import choose, simplest_within_noise
from pipelines.ensembling.spec import EnsembleSpec


def test_the_simplest_within_noise_wins() -> None:
    folds = {"single": np.array([1.0, 1.2, 0.9]), "weighted_average": np.array([0.99, 1.21, 0.89])}
    assert simplest_within_noise({"single": 1.03, "weighted_average": 1.02}, folds) == "single"
    folds["weighted_average"] = folds["single"] - np.array([0.05, 0.06, 0.05])
    assert simplest_within_noise({"single": 1.03, "weighted_average": 0.98}, folds) == "weighted_average"


def test_noise_members_do_not_fool_the_choice() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1200).astype(float)
    noise = [rng.random(1200) for _ in range(12)]
    answers = [np.column_stack([1 - p, p]) for p in noise]
    fold = (np.arange(1200) % 4).astype(np.int8)
    choice = choose(answers, y, np.ones(1200), fold, "roc_auc", EnsembleSpec())
    # Weights fitted to chance look good on their own rows; on rows they were not chosen on they are chance.
    assert all(abs(-loss - 0.5) < 0.05 for loss in choice.losses.values())


def test_honest_answers_cover_every_row() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=400)
    answers = [y + rng.normal(scale=s, size=400) for s in (0.5, 0.6, 0.7)]
    fold = (np.arange(400) % 4).astype(np.int8)
    choice = choose(answers, y, np.ones(400), fold, "rmse", EnsembleSpec())
    assert choice.combine["kind"] in ("weighted_average", "stacking")
    assert np.isfinite(choice.oof).all()
    only = choose(answers, y, np.ones(400), fold, "rmse", EnsembleSpec(methods=()))
    assert only.combine == {"kind": "single", "weights": [1.0, 0.0, 0.0]}


def test_members_that_are_worse_than_chance_still_make_a_model() -> None:
    """Stacking gives each of them weight 0; the best single one is then left to the gate."""
    y = np.tile([0.0, 1.0], 14)
    p = np.where(y == 1, 0.4, 0.6) + np.linspace(0, 0.05, 28)
    fold = (np.arange(28) % 5).astype(np.int8)
    answers = [np.column_stack([1 - p, p]), np.column_stack([1 - p + 0.01, p - 0.01])]
    choice = choose(answers, y, np.ones(28), fold, "roc_auc", EnsembleSpec())
    assert sum(weight > 0 for weight in choice.combine["weights"]) >= 1
