"""The combinations of a spec, each a way to learn, from some rows, one combination per number of members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms.base import Array
from pipelines.ensembling.combination.weight_fitting import average, greedy_path, single, stack, vote
from pipelines.ensembling.spec import EnsembleSpec

SIMPLEST_FIRST = (
    "single",
    "average",
    "hard_vote",
    "soft_vote",
    "weighted_average",
    "blending",
    "bagging",
    "cascade",
    "boosting",
    "hybrid",
    "stacking",
    "stacking_features",
    "two_layers",
)
VOTES = ("hard_vote", "soft_vote")
"""Classes only."""
SIZES = (2, 3, 5)
"""Numbers of members that equal weights and meta-learners are tried with, besides the most."""

Combine = dict[str, Any]
Learn = Callable[[list[Array], Array, Array, NDArray[np.int8]], list[Combine]]
Mask = NDArray[np.bool_]
Allowed = Callable[[Mask], bool]


@dataclass(frozen=True)
class PoolEntry:
    """What a method needs to know of a candidate: the combination that it was made for, "" for a trial."""

    method: str = ""


def methods(
    metric: str, spec: EnsembleSpec, entries: Sequence[PoolEntry], classes: int, allowed: Allowed
) -> dict[str, Learn]:
    """Return the methods that compete, the best single trial first.

    Parameters
    ----------
    entries
        One per candidate, in the order of the predictions that the methods get: trials first, best first.
    allowed
        Whether candidates, as a mask, may be in one model.
    """
    trials = [index for index, entry in enumerate(entries) if not entry.method]
    count, most = len(entries), min(spec.max_members, len(trials))
    alone = [index for index in trials if allowed(_mask(count, [index]))]

    def among(indices: list[int], learn: Learn) -> Learn:
        def learned(predictions: list[Array], y: Array, w: Array, fold: NDArray[np.int8]) -> list[Combine]:
            found = learn([predictions[index] for index in indices], y, w, fold)
            return [_spread(combine, indices, count) for combine in found]

        return learned

    def within(indices: list[int]) -> Allowed:
        return lambda used: allowed(_mask(count, [indices[position] for position in np.flatnonzero(used)]))

    def greedily(indices: list[int], kind: str, members: int, holdout: bool = False) -> Learn:
        def learned(predictions: list[Array], y: Array, w: Array, fold: NDArray[np.int8]) -> list[Combine]:
            if holdout:
                last = fold == fold.max()
                predictions, y, w = [y_pred[last] for y_pred in predictions], y[last], w[last]
            path = greedy_path(predictions, y, w, metric, rounds=spec.rounds, most=members, allowed=within(indices))
            return [{**combine, "kind": kind} for combine in path]

        return among(indices, learned)

    sizes = sorted({size for size in (*SIZES, most) if 1 < size <= most})
    every: dict[str, Learn] = {
        "single": among(alone, lambda predictions, y, w, fold: [single(predictions, y, w, metric)])
    }
    every["weighted_average"] = greedily(alone, "weighted_average", most)
    every["blending"] = greedily(alone, "blending", most, holdout=True)
    every["stacking"] = among(
        alone,
        lambda predictions, y, w, fold: [
            stack(predictions, y, w, penalty=spec.penalty, most=size) for size in ((3, most) if most > 3 else (most,))
        ],
    )
    if sizes:
        every["average"] = among(
            alone,
            lambda predictions, y, w, fold: [average(len(predictions), min(size, len(predictions))) for size in sizes],
        )
        if classes:
            for kind in VOTES:
                every[kind] = among(alone, _voting(kind, sizes))
    for method in dict.fromkeys(entry.method for entry in entries if entry.method):
        own = [index for index, entry in enumerate(entries) if entry.method == method]
        if method == "two_layers":
            every[method] = greedily([*own, *trials], method, most)
        elif allowed(_mask(count, own)):
            every[method] = _alone(method, own[0], count)
    return {
        name: every[name] for name in SIMPLEST_FIRST if name in every and (name == "single" or name in spec.methods)
    }


def _voting(kind: str, sizes: list[int]) -> Learn:
    return lambda predictions, y, w, fold: [
        vote(kind, predictions, y, w, min(size, len(predictions))) for size in sizes
    ]


def _alone(method: str, index: int, count: int) -> Learn:
    weights = [float(position == index) for position in range(count)]
    return lambda predictions, y, w, fold: [{"kind": method, "weights": weights}]


def _spread(combine: Combine, indices: list[int], count: int) -> Combine:
    weights = [0.0] * count
    for index, weight in zip(indices, combine["weights"], strict=True):
        weights[index] = weight
    return {**combine, "weights": weights}


def _mask(count: int, indices: Sequence[int]) -> Mask:
    mask = np.zeros(count, dtype=bool)
    mask[list(indices)] = True
    return mask
