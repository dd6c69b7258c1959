"""How much better one model is than others on the same rows, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.comparison.block_bootstrap import Indices, Unit, day_indices, day_scores
from pipelines.evaluation.comparison.bootstrap import resampled_scores
from pipelines.evaluation.comparison.delong import delong
from pipelines.metrics import METRICS

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
    """bootstrap, delong, or a bootstrap of whole days or groups (entities)."""
    days: int | None = None
    """Days that were drawn again; None where it was something else."""
    groups: int | None = None
    """Entities that were drawn again; None where it was something else."""


def compare(
    metric: str,
    truth: Array,
    candidate: Array,
    others: Mapping[str, Array],
    *,
    confidence: float,
    resamples: int,
    seed: int,
    test: Test = "auto",
    days: Indices | None = None,
    unit: Unit = "days",
) -> dict[str, Comparison | None]:
    """Compare the candidate with each other model, paired by row, day or entity; None where these rows bound nothing.

    Parameters
    ----------
    truth
        (n,) values or class indices.
    candidate, others
        (n,) or (n, classes) predictions for the same rows.
    test
        auto: DeLong for roc_auc with at least ``FEW`` rows of each class, else the paired bootstrap.
    days
        (n,) number of each row's day. With enough different ones (``days.LEAST_DAYS``) days are drawn instead of
        rows, also for roc_auc, unless ``test`` is delong.
    unit
        What the numbers in ``days`` are.
    """
    if not others or not len(truth):
        return dict.fromkeys(others)
    sign, weight = METRICS[metric].sign, np.ones(len(truth))
    here = METRICS[metric].score(truth, candidate, weight)
    gains = {
        name: sign * (here - METRICS[metric].score(truth, other, weight)) + 0.0 for name, other in others.items()
    }  # + 0.0: no minus zero
    z = NormalDist().inv_cdf(confidence), NormalDist().inv_cdf(POWER)
    day_index, several = day_indices(days)
    if several and test != "delong":
        scores = day_scores(
            metric, truth, {"": candidate, **others}, day_index, several, resamples=resamples, seed=seed
        )
        return {
            name: bounded_by_day(gains[name], sign * (scores[""] - scores[name]), confidence, several, unit)
            for name in others
        }
    positive = int((truth == 1).sum())
    least = min(positive, len(truth) - positive)
    if metric == "roc_auc" and (test == "delong" or (test == "auto" and least >= FEW)) and least >= 2:
        _, covariance = delong(truth, np.array([candidate[:, 1], *(other[:, 1] for other in others.values())]))
        found: dict[str, Comparison | None] = {}
        for row, name in enumerate(others, start=1):
            variance = covariance[0, 0] + covariance[row, row] - 2.0 * covariance[0, row]
            error = float(np.sqrt(max(variance, 0.0)))
            gain = gains[name]
            found[name] = Comparison(gain, gain - z[0] * error, gain + z[0] * error, error, sum(z) * error, "delong")
        return found
    scores = resampled_scores(metric, truth, {"": candidate, **others}, resamples=resamples, seed=seed)
    return {name: bounded(gains[name], sign * (scores[""] - scores[name]), confidence, sum(z)) for name in others}


def bounded(gain: float, gains: Array, confidence: float, reach: float) -> Comparison | None:
    """Bound a gain by the gains on resampled rows; None where these rows bound nothing.

    Parameters
    ----------
    reach
        Standard errors from which a true difference shows at that confidence, ``POWER`` of the time.
    """
    gains = gains[np.isfinite(gains)]
    if not len(gains) or not np.isfinite(gain):
        return None
    low, high = (float(end) + 0.0 for end in np.quantile(gains, [1.0 - confidence, confidence]))
    error = float(gains.std())
    return Comparison(gain, low, high, error, reach * error, "bootstrap")


def bounded_by_day(gain: float, gains: Array, confidence: float, days: int, unit: Unit = "days") -> Comparison | None:
    """Bound a gain by the gains on resampled days, or entities; None where these rows bound nothing.

    The error is the bootstrap's, times the root of days / (days - 1), and the quantiles are those of Student's t with
    days - 1 degrees of freedom: of few days the plain bootstrap's bounds are too narrow (Cameron, Gelbach and Miller
    2008, Review of Economics and Statistics 90, 414-427; Hesterberg 2015, The American Statistician 69, 371-386).
    """
    from scipy.special import stdtrit

    gains = gains[np.isfinite(gains)]
    if not len(gains) or not np.isfinite(gain):
        return None
    error = float(gains.std() * np.sqrt(days / (days - 1)))
    sure, power = (float(stdtrit(days - 1, share)) for share in (confidence, POWER))
    return Comparison(
        gain, gain - sure * error, gain + sure * error, error, (sure + power) * error, unit, **{unit: days}
    )
