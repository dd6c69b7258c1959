"""How much better one model is than others on the same rows, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms import metrics
from pipelines.evaluation.bootstrap import resampled_scores
from pipelines.evaluation.delong import delong

Array = NDArray[np.float64]
Test = Literal["auto", "bootstrap", "delong"]
FEW = 50
"""Rows of each class from which DeLong's normal approximation is used unasked."""
POWER = 0.8


@dataclass(frozen=True)
class Comparison:
    """The improvement of the candidate over another model, in the metric; greater than 0: the candidate is better.

    ``lower`` and ``upper`` are one-sided bounds, each of the declared confidence.
    """

    improvement: float
    lower: float
    upper: float
    error: float
    """Standard error of the improvement."""
    detectable: float
    """Smallest true difference that these rows would show, at that confidence, four times in five."""
    how: str
    """bootstrap or delong."""


def compare(
    metric: str, truth: Array, candidate: Array, others: Mapping[str, Array], *,
    confidence: float, resamples: int, seed: int, test: Test = "auto",
) -> dict[str, Comparison | None]:  # fmt: skip
    """Compare the candidate with each other model, paired by row; None where these rows bound nothing.

    Parameters
    ----------
    truth
        (n,) values or class indices.
    candidate, others
        (n,) or (n, classes) answers to the same rows.
    test
        auto: DeLong for roc_auc with at least ``FEW`` rows of each class, else the paired bootstrap.
    """
    if not others or not len(truth):
        return dict.fromkeys(others)
    sign, weight = metrics.sign(metric), np.ones(len(truth))
    here = metrics.score(metric, truth, candidate, weight)
    gains = {
        name: sign * (here - metrics.score(metric, truth, other, weight)) + 0.0 for name, other in others.items()
    }  # + 0.0: no minus zero
    z = NormalDist().inv_cdf(confidence), NormalDist().inv_cdf(POWER)
    positive = int((truth == 1).sum())
    least = min(positive, len(truth) - positive)
    if metric == "roc_auc" and (test == "delong" or (test == "auto" and least >= FEW)) and least >= 2:
        _, covariance = delong(truth, np.array([candidate[:, 1], *(other[:, 1] for other in others.values())]))
        found: dict[str, Comparison | None] = {}
        for place, name in enumerate(others, start=1):
            variance = covariance[0, 0] + covariance[place, place] - 2.0 * covariance[0, place]
            error = float(np.sqrt(max(variance, 0.0)))
            gain = gains[name]
            found[name] = Comparison(gain, gain - z[0] * error, gain + z[0] * error, error, sum(z) * error, "delong")
        return found
    scores = resampled_scores(metric, truth, {"": candidate, **others}, resamples=resamples, seed=seed)
    return {name: bounded(gains[name], sign * (scores[""] - scores[name]), confidence, sum(z)) for name in others}


def bounded(gain: float, seen: Array, confidence: float, reach: float) -> Comparison | None:
    """Bound a gain by the gains on resampled rows; None where these rows bound nothing.

    Parameters
    ----------
    reach
        Standard errors from which a true difference shows at that confidence, ``POWER`` of the time.
    """
    seen = seen[np.isfinite(seen)]
    if not len(seen) or not np.isfinite(gain):
        return None
    low, high = (float(end) + 0.0 for end in np.quantile(seen, [1.0 - confidence, confidence]))
    error = float(seen.std())
    return Comparison(gain, low, high, error, reach * error, "bootstrap")
