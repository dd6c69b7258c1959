from __future__ import annotations

import numpy as np
import pytest

from pipelines.ensembling.combination.weight_fitting import greedy, single, stack
from pipelines.inference.ensemble.combine import combine_predictions
from pipelines.metrics import METRICS


def numbers(rows: int = 2000) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Three members with independent errors, the last one useless."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=rows)
    return (
        [y + rng.normal(scale=0.5, size=rows), y + rng.normal(scale=0.6, size=rows), rng.normal(size=rows)],
        y,
        np.ones(rows),
    )


def labels(rows: int = 3000) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    signal = rng.normal(size=rows)
    y = (signal + rng.normal(scale=0.5, size=rows) > 0).astype(float)
    predictions = []
    for noise in (0.6, 0.7, 9.0):
        p = 1 / (1 + np.exp(-2 * (signal + rng.normal(scale=noise, size=rows))))
        predictions.append(np.column_stack([1 - p, p]))
    return predictions, y, np.ones(rows)


@pytest.mark.parametrize(("data", "metric"), [(numbers, "rmse"), (labels, "roc_auc"), (labels, "log_loss")])
def test_combinations_beat_their_best_member(data: object, metric: str) -> None:
    predictions, y, w = data()  # type: ignore[operator]
    best = METRICS[metric].loss(y, combine_predictions(single(predictions, y, w, metric), predictions), w)
    for combine in (
        greedy(predictions, y, w, metric, rounds=25, most=8),
        stack(predictions, y, w, penalty=1e-3, most=8),
    ):
        assert METRICS[metric].loss(y, combine_predictions(combine, predictions), w) < best
        assert min(combine["weights"]) >= 0.0
        assert combine["weights"][2] < 0.1


def test_greedy_keeps_to_the_limit_of_members_and_sums_to_one() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=500)
    predictions = [y + rng.normal(size=500) for _ in range(10)]
    weights = greedy(predictions, y, np.ones(500), "rmse", rounds=50, most=3)["weights"]
    assert sum(weights) == pytest.approx(1.0)
    assert np.count_nonzero(weights) == 3


def test_stacking_keeps_to_the_limit_and_finds_a_shift() -> None:
    predictions, y, w = numbers()
    combine = stack(predictions, 2.0 * y + 7.0, w, penalty=1e-4, most=1)
    assert np.count_nonzero(combine["weights"]) == 1
    assert combine["intercept"] == pytest.approx(7.0, abs=0.1)


def test_stacking_recalibrates_overconfident_members() -> None:
    predictions, y, w = labels()
    sure = [np.clip(one, 1e-6, 1) ** 4 for one in predictions[:2]]
    sure = [one / one.sum(axis=1, keepdims=True) for one in sure]
    combine = stack(sure, y, w, penalty=1e-4, most=8)
    assert METRICS["log_loss"].score(y, combine_predictions(combine, sure), w) < 0.8 * METRICS["log_loss"].score(
        y, sure[0], w
    )


def test_a_member_that_is_constant_does_no_harm() -> None:
    predictions, y, w = labels()
    constant = np.tile([0.5, 0.5], (len(y), 1))
    combine = stack([predictions[0], constant], y, w, penalty=1e-3, most=8)
    assert METRICS["log_loss"].score(y, combine_predictions(combine, [predictions[0], constant]), w) <= METRICS[
        "log_loss"
    ].score(y, predictions[0], w)
