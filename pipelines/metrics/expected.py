"""Scores that probabilities alone let expect, without labels: labels are drawn from them again and again.

For calibrated probabilities the mean over the draws is the score to be expected, and their spread is what chance makes
of it on so many rows (confidence-based performance estimation; J. Bialek et al., arXiv:2407.08649, 2024).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics.registry import METRICS

Array = NDArray[np.float64]
DRAWS = 100
ROWS = 5_000
"""Rows that are drawn for at most, evenly spread; the error is that of all rows."""
BINS = 10


def expected_score(metric: str, y_pred: Array, judged: Array, seed: int = 0) -> tuple[float, float]:
    """Return the expected score and its standard error.

    Parameters
    ----------
    y_pred
        (n, classes) probabilities.
    judged
        (n, classes) what the metric uses of them: the same, or those whose largest is the predicted label's.
    """
    chosen = np.linspace(0, len(y_pred) - 1, min(ROWS, len(y_pred))).astype(np.intp)
    p, used, weight = y_pred[chosen], judged[chosen], np.ones(len(chosen))
    random = np.random.default_rng(seed)
    scores = np.asarray([METRICS[metric].score(drawn_labels(p, random), used, weight) for _ in range(DRAWS)])
    given = scores[np.isfinite(scores)]
    if not len(given):
        return float("nan"), float("nan")
    return float(given.mean()), float(given.std() * np.sqrt(len(chosen) / len(y_pred)))


def drawn_labels(y_pred: Array, random: np.random.Generator) -> Array:
    """Return a class index for each row, (n,), drawn by its probabilities."""
    total = y_pred.cumsum(axis=1)
    drawn = (random.random(len(y_pred))[:, None] * total[:, -1:] >= total).sum(axis=1)
    return np.asarray(np.minimum(drawn, y_pred.shape[1] - 1), dtype=np.float64)


def calibration_error(hit: Array, probability: Array, weight: Array) -> float:
    """Return the expected calibration error over ten bins of equal width (Naeini et al., 2015).

    Of several classes: of the predicted one (Guo et al., 2017).
    """
    bin_index = np.minimum((probability * BINS).astype(int), BINS - 1)
    gap = np.bincount(bin_index, weight * (probability - hit), minlength=BINS)
    return float(np.abs(gap).sum() / weight.sum())


def calibration_excess(hit: Array, probability: Array, seed: int = 0) -> tuple[float, float, float]:
    """Return the calibration error, what chance alone makes of it on so many rows, and the spread of the latter."""
    random, weight = np.random.default_rng(seed), np.ones(len(hit))
    chance = [
        calibration_error((random.random(len(hit)) < probability).astype(np.float64), probability, weight)
        for _ in range(DRAWS)
    ]
    return calibration_error(hit, probability, weight), float(np.mean(chance)), float(np.std(chance))
