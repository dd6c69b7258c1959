"""From candidates to fitted members and the way to combine them, within the time left."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms import metrics
from pipelines.algorithms.base import Array, Fitted
from pipelines.algorithms.table import Columns
from pipelines.ensembling.candidates import Candidate
from pipelines.ensembling.choose import Choice, choose
from pipelines.ensembling.refit import refit
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import DataError


@dataclass
class Built:
    """Members with their weights, best weight first, and what was left out on the way."""

    members: list[tuple[Candidate, Fitted]]
    combine: dict[str, Any]
    choice: Choice
    left_out: list[dict[str, Any]] = field(default_factory=list)


def build(
    candidates: list[Candidate], columns: Columns, spec: EnsembleSpec, *, seed: int, cores: int, seconds: float | None
) -> Built:
    """Choose the combination, refit its members; members that fail are left out and the choice is made again.

    Parameters
    ----------
    seconds
        Time that the refits may take; None: not limited, and then nothing depends on the clock or on ``cores``.

    Raises
    ------
    DataError
        If no member is left.
    """
    held = columns.held_out
    y, w, fold = columns.y[held], columns.w[held], columns.fold[held]
    left_out: list[dict[str, Any]] = []
    fitted: dict[int, Fitted] = {}
    pool = list(candidates)
    while pool:
        answers = [_answer(candidate, columns) for candidate in pool]
        with threadpool_limits(1, user_api="blas"):
            choice = choose(answers, y, w, fold, columns.shape.metric, spec)
        chosen = [candidate for candidate, weight in zip(pool, choice.combine["weights"], strict=True) if weight > 0]
        missing = [candidate for candidate in chosen if candidate.number not in fitted]
        slowest = _too_slow(missing, _weights(pool, choice), len(chosen), cores, seconds)
        if slowest is not None:
            why = f"its refit would take about {slowest.refit_seconds:.0f} s, more than the budget has left"
            left_out.append({"number": slowest.number, "family": slowest.family, "why": why})
            pool.remove(slowest)
            continue
        threads = 1 if seconds is None else max(1, cores // max(1, len(missing)))
        made, failed = refit(missing, columns, seed=seed, cores=cores, threads=threads)
        fitted |= made
        if not failed:
            return _ordered(chosen, pool, choice, fitted, left_out)
        for candidate in [candidate for candidate in pool if candidate.number in failed]:
            left_out.append(
                {"number": candidate.number, "family": candidate.family, "why": f"refit: {failed[candidate.number]}"}
            )
            pool.remove(candidate)
    raise DataError(
        "no member is left to make a model of",
        where="ensemble",
        seen=f"{len(candidates)} candidates, all left out",
        expected="at least one that can be refitted",
        cure="look at the reasons; give the search more families or more time",
        faults=[f"trial {entry['number'] + 1} {entry['family']}: {entry['why']}" for entry in left_out],
    )


def _answer(candidate: Candidate, columns: Columns) -> Array:
    held = candidate.oof[columns.held_out]
    return held if columns.shape.classes else np.ascontiguousarray(held[:, 0])


def _weights(pool: list[Candidate], choice: Choice) -> dict[int, float]:
    return {c.number: weight for c, weight in zip(pool, choice.combine["weights"], strict=True)}


def _too_slow(
    missing: list[Candidate], weights: dict[int, float], chosen: int, cores: int, seconds: float | None
) -> Candidate | None:
    """Give the member of least weight per second when the refits would not end in time; the last one always stays."""
    if seconds is None or chosen < 2 or not missing:
        return None
    costs = [candidate.refit_seconds for candidate in missing]
    if max(sum(costs) / cores, *costs, 0.0) <= seconds:
        return None
    return min(missing, key=lambda candidate: weights[candidate.number] / max(candidate.refit_seconds, 1e-3))


def _ordered(
    chosen: list[Candidate],
    pool: list[Candidate],
    choice: Choice,
    fitted: dict[int, Fitted],
    left_out: list[dict[str, Any]],
) -> Built:
    weight_of = _weights(pool, choice)
    ordered = sorted(chosen, key=lambda candidate: (-weight_of[candidate.number], candidate.number))
    combine = {**choice.combine, "weights": [weight_of[candidate.number] for candidate in ordered]}
    return Built([(candidate, fitted[candidate.number]) for candidate in ordered], combine, choice, left_out)


def describe(built: Built, columns: Columns) -> dict[str, Any]:
    """Give the content of ``report.json``: who is in the model, and honest out-of-fold scores in the metric."""
    turn = -metrics.sign(columns.shape.metric)
    return {
        "kind": built.combine["kind"],
        "metric": columns.shape.metric,
        "weights": built.combine["weights"],
        "members": [
            {"number": c.number, "family": c.family, "weight": weight, "score": turn * c.loss, **fitted.learned}
            for (c, fitted), weight in zip(built.members, built.combine["weights"], strict=True)
        ],
        "score": {name: turn * loss for name, loss in built.choice.losses.items()},
        "left_out": built.left_out,
    }


def report(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)
