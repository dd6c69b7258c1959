"""When a trial is given up after some of its folds: bars that are fixed when it is proposed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipelines.metrics import METRICS
from pipelines.tuning.trials import TrialResult

REDUCTION = 3
"""ASHA lets the best third of a rung go on."""
LEAST_TRIALS = 3
"""Trials that must have reached a rung before its bar counts."""
MARGIN = {"roc_auc": 0.005}
"""How far behind the best, in the metric, a trial or a family is hopeless."""
MARGIN_SCORE, MARGIN_SHARE = 0.01, 0.06
"""The same for the other scores, which end at 1; for the other losses, as a share of the best."""
NOISE = 0.1
"""Share of the margin by which a bar is eased: trials that close are as good, and an ensemble can use them."""


def margin(metric: str, best: float) -> float:
    """Return the distance behind ``best``, a loss, at which something is hopeless."""
    return MARGIN.get(metric, MARGIN_SCORE if METRICS[metric].sign > 0 else MARGIN_SHARE * abs(best))


def bars(rule: str, metric: str, known: Sequence[TrialResult], folds: int) -> tuple[float, ...]:
    """Return, for 1 to folds - 1 folds done, the mean loss above which a trial is given up.

    Parameters
    ----------
    rule
        ``asha``: asynchronous successive halving (Li et al. 2020), the folds being the resource: of all trials that
        reached a rung (1, 2, 4, … folds) the best third goes on. ``median``: the median stopping rule (Golovin et al.
        2017), at every fold. ``none``: no bars.
    known
        Results that a proposal may rest on.
    """
    if rule == "none":
        return ()
    losses = [result.fold_losses for result in known if result.counts]
    return tuple(_bar(rule, metric, losses, done) for done in range(1, folds))


def _bar(rule: str, metric: str, losses: Sequence[Sequence[float]], done: int) -> float:
    reached = [float(np.mean(each[:done])) for each in losses if len(each) >= done]
    means = sorted(mean for mean in reached if math.isfinite(mean))
    if not means:
        return math.inf
    hopeless = means[0] + margin(metric, means[0])
    if len(means) < LEAST_TRIALS:
        return hopeless
    if rule == "median":
        bar = float(np.median(means))
    elif done & (done - 1) == 0:  # a rung: 1, 2, 4, 8
        bar = means[math.ceil(len(means) / REDUCTION) - 1]
    else:
        return hopeless
    return min(hopeless, bar + NOISE * margin(metric, means[0]))


def given_up(losses: Sequence[float], limits: Sequence[float]) -> bool:
    """Whether the folds done so far are above their bar."""
    return len(limits) >= len(losses) > 0 and float(np.mean(losses)) > limits[len(losses) - 1]


def estimate(losses: Sequence[float], rival: Sequence[float], rival_loss: float) -> float:
    """Return the loss that a trial would have come to, from its first folds and the best trial's.

    Parameters
    ----------
    rival, rival_loss
        The best trial's losses by fold, and its loss on the rows of all folds together, which is seldom their mean.
    """
    if len(rival) < len(losses):
        return float(np.mean(losses))
    return float(rival_loss + np.mean(np.subtract(losses, rival[: len(losses)])))
