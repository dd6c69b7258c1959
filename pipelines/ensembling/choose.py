"""Chooses between combinations by rows that their weights were not chosen on; the simplest within noise wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms import metrics
from pipelines.algorithms.base import Array
from pipelines.ensembling.combine import greedy, single, stack
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.inference.ensemble import combine_answers

SIMPLEST_FIRST = ("single", "weighted_average", "stacking")


@dataclass(frozen=True)
class Choice:
    """The combination to use, its honest out-of-fold answers, and every combination's honest loss."""

    combine: dict[str, Any]
    oof: Array
    losses: dict[str, float]


def choose(answers: list[Array], y: Array, w: Array, fold: NDArray[np.int8], metric: str, spec: EnsembleSpec) -> Choice:
    """Score each method fold by fold, with weights learned on the other folds; then learn the winner on all rows.

    Parameters
    ----------
    answers
        One out-of-fold answer per member, (n,) or (n, classes), best member first.
    """
    methods = _methods(metric, spec)
    folds = [int(value) for value in np.unique(fold)]
    oof: dict[str, Array] = {}
    by_fold: dict[str, Array] = {}
    for name, method in methods.items():
        honest = np.empty_like(answers[0])
        losses = []
        for held in folds:
            inside = fold == held
            # One fold alone leaves nothing to learn on: then a method is judged, flattered, on its own rows.
            learn = ~inside if len(folds) > 1 else inside
            combine = method(*_thin([answer[learn] for answer in answers], y[learn], w[learn], spec.choice_rows))
            honest[inside] = combine_answers(combine, [answer[inside] for answer in answers])
            losses.append(metrics.loss(metric, y[inside], honest[inside], w[inside]))
        oof[name], by_fold[name] = honest, np.asarray(losses)
    totals = {name: metrics.loss(metric, y, answer, w) for name, answer in oof.items()}
    winner = simplest_within_noise(totals, by_fold)
    thin = _thin(answers, y, w, spec.choice_rows)
    combine = methods[winner](*thin)
    if not any(weight > 0 for weight in combine["weights"]):
        # Stacking that trusts no member is a constant answer: there is nothing to learn, and the gate says so.
        winner, combine = "single", methods["single"](*thin)
    return Choice(combine, oof[winner], totals)


def simplest_within_noise(totals: dict[str, float], by_fold: dict[str, Array]) -> str:
    """Give the simplest method whose mean distance to the best, over folds, is at most its standard error."""
    best = min(totals, key=lambda name: (totals[name], SIMPLEST_FIRST.index(name)))
    for name in sorted(totals, key=SIMPLEST_FIRST.index):
        behind = by_fold[name] - by_fold[best]
        error = float(behind.std(ddof=1) / np.sqrt(len(behind))) if len(behind) > 1 else 0.0
        if name == best or float(behind.mean()) <= error:
            return name
    return best


def _methods(metric: str, spec: EnsembleSpec) -> dict[str, Callable[..., dict[str, Any]]]:
    every: dict[str, Callable[..., dict[str, Any]]] = {
        "single": lambda answers, y, w: single(answers, y, w, metric),
        "weighted_average": lambda answers, y, w: greedy(
            answers, y, w, metric, rounds=spec.rounds, most=spec.max_members
        ),
        "stacking": lambda answers, y, w: stack(answers, y, w, penalty=spec.penalty, most=spec.max_members),
    }
    return {name: every[name] for name in SIMPLEST_FIRST if name == "single" or name in spec.methods}


def _thin(answers: list[Array], y: Array, w: Array, most: int) -> tuple[list[Array], Array, Array]:
    step = -(-len(y) // most)
    return [np.ascontiguousarray(answer[::step]) for answer in answers], y[::step], w[::step]
