"""The probability from which the positive label is predicted: declared, or best out of fold by a metric or a cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms.base import Array
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import SpecError

Counts = tuple[Array, Array, Array, Array]
"""Weights of true positives, false positives, false negatives and true negatives at each threshold."""
LEAST = -1.0
"""No metric that a threshold is chosen by is smaller; a cost is always defined."""


def check_threshold(spec: EnsembleSpec, task: str) -> None:
    """Raise ``SpecError`` if a threshold is declared for a model that is not binary."""
    if spec.threshold != "most_probable" and task != "binary":
        raise SpecError(
            "a threshold is for two classes",
            where="EnsembleSpec.threshold",
            seen=f"threshold={spec.threshold!r} for a {task} model",
            expected="most_probable",
            cure="leave threshold out, or make the task binary",
        )


def threshold(
    spec: EnsembleSpec, share: Array, truth: NDArray[np.bool_], w: Array, fold: NDArray[np.int8]
) -> dict[str, Any] | None:
    """Return {"value", "by", "score"}, or None where the most probable label is predicted.

    ``score`` is that of thresholds chosen without the fold that they are judged on; the value is chosen on all rows.

    Parameters
    ----------
    share
        Honest out-of-fold probability of the positive label, (n,).
    truth
        Whether a row has the positive label, (n,) bool.
    fold
        (n,).
    """
    wanted = spec.threshold
    if wanted == "most_probable":
        return None
    if isinstance(wanted, float):
        return {"value": wanted, "by": "declared"}
    judged: dict[str, Callable[[Counts], Array]] = {
        "f1": _f1,
        "balanced_accuracy": _balanced,
        "mcc": _mcc,
        "cost": lambda c: -(spec.cost_false_positive * c[1] + spec.cost_false_negative * c[2]) / sum(c),
    }

    def best(rows: NDArray[np.bool_]) -> float:
        values, counts = _counts(share[rows], truth[rows], w[rows])
        return float(values[int(np.argmax(_scores(judged[wanted], counts)))])

    predicted: NDArray[np.bool_] = np.zeros(len(share), dtype=bool)
    for held in np.unique(fold):
        inside = fold == held
        predicted[inside] = share[inside] >= best(~inside if not inside.all() else inside)
    sides = ((predicted, truth), (predicted, ~truth), (~predicted, truth), (~predicted, ~truth))
    tp, fp, fn, tn = (np.array([w[a & b].sum()]) for a, b in sides)
    return {
        "value": best(np.ones(len(share), dtype=bool)),
        "by": wanted,
        "score": float(_scores(judged[wanted], (tp, fp, fn, tn))[0]),
    }


def _scores(judge: Callable[[Counts], Array], counts: Counts) -> Array:
    """Return the score of each threshold; where it is not defined, the least."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(judge(counts), nan=LEAST)


def _counts(share: Array, truth: NDArray[np.bool_], w: Array) -> tuple[Array, Counts]:
    """Return thresholds half-way between the probabilities that occur, and the counts at each."""
    order = np.argsort(-share, kind="stable")
    ranked, own, weight = share[order], truth[order], w[order]
    ends = np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
    tp = np.r_[0.0, np.cumsum(np.where(own, weight, 0.0))[ends]]
    fp = np.r_[0.0, np.cumsum(np.where(own, 0.0, weight))[ends]]
    edges = ranked[ends]
    middles = np.r_[np.nextafter(edges[0], 2.0), (edges[:-1] + edges[1:]) / 2.0, edges[-1]]
    return middles, (tp, fp, tp[-1] - tp, fp[-1] - fp)


def _f1(counts: Counts) -> Array:
    tp, fp, fn, _ = counts
    return np.asarray(2.0 * tp / (2.0 * tp + fp + fn))


def _balanced(counts: Counts) -> Array:
    tp, fp, fn, tn = counts
    return np.asarray((tp / (tp + fn) + tn / (tn + fp)) / 2.0)


def _mcc(counts: Counts) -> Array:
    tp, fp, fn, tn = counts
    below = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return np.asarray((tp * tn - fp * fn) / below)
