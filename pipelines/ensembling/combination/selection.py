"""Chooses between combinations by rows that their weights were not chosen on, within limits of time and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms.base import Array
from pipelines.ensembling.candidates.candidate_pool import Pool
from pipelines.ensembling.combination.combiners import SIMPLEST_FIRST, PoolEntry, methods
from pipelines.ensembling.cost import Cost
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import SpecError
from pipelines.inference.ensemble.combine import combine_predictions
from pipelines.metrics import METRICS

SLOW_MS, SLOW_LOSS = 0.7, 5.0
"""What needs more milliseconds for a row, by estimate, must be better by so often what a frugal choice may cost."""


@dataclass(frozen=True)
class Point:
    """One combination: how it is called, its honest loss in all and by fold, what it costs, what it combines."""

    method: str
    combine: dict[str, Any]
    oof: Array
    loss: float
    by_fold: Array
    cost: Cost

    @property
    def members(self) -> int:
        """Number of members with a weight."""
        return sum(weight != 0.0 for weight in self.combine["weights"])


@dataclass(frozen=True)
class Choice:
    """The combination to use, its honest out-of-fold predictions, every method's best honest loss, and all points.

    The method that is used has the loss of the point taken, which need not be its best.
    """

    combine: dict[str, Any]
    oof: Array
    losses: dict[str, float]
    points: list[Point] = field(default_factory=list)
    point: Point | None = None


def choose(
    predictions: list[Array],
    y: Array,
    w: Array,
    fold: NDArray[np.int8],
    metric: str,
    spec: EnsembleSpec,
    pool: Pool | None = None,
) -> Choice:
    """Score each method fold by fold, with weights learned on the other folds; then learn it on all rows.

    Parameters
    ----------
    predictions
        Out-of-fold predictions of each member, (n,) or (n, classes), best member first.
    pool
        What the members are and cost; None: trials that cost nothing.

    Raises
    ------
    SpecError
        If no combination keeps within the spec's limits.
    """
    pool = pool or Pool.free(len(predictions))
    classes = 0 if predictions[0].ndim == 1 else predictions[0].shape[1]
    _check_limits(pool, spec)
    known = methods(metric, spec, [PoolEntry(m) for m in pool.methods], classes, lambda used: pool.allows(used, spec))
    points: list[Point] = []
    for name, learn in known.items():
        points += _points(name, learn, predictions, y, w, fold, metric, spec, pool)
    point = pick(points, spec.pick, spec.max_loss * abs(METRICS[metric].error(min(p.loss for p in points))))
    losses = {name: min(p.loss for p in points if p.method == name) for name in dict.fromkeys(p.method for p in points)}
    losses[point.method] = point.loss
    return Choice(point.combine, point.oof, losses, points, point)


def pick(points: Sequence[Point], how: str, most: float = 0.0) -> Point:
    """Return the point that the spec asks for, see ``EnsembleSpec.pick``.

    Parameters
    ----------
    most
        How far above the best one's the loss of a frugal choice may be.
    """
    best = min(points, key=lambda point: (point.loss, SIMPLEST_FIRST.index(point.method), point.members))
    if how == "best":
        return best
    if how == "frugal":
        quick = [p for p in points if p.cost.row_ms <= SLOW_MS]
        if quick and min(p.loss for p in quick) <= best.loss + SLOW_LOSS * most:
            points = quick
        enough = max(best.loss + most, min(p.loss for p in points))
        return min((p for p in points if p.loss <= enough), key=lambda p: (p.cost, p.members, p.loss))
    if how == "cheapest":
        return min((p for p in points if within_noise(p, best)), key=lambda p: (p.cost, p.members, p.loss))
    heads = [
        min((p for p in points if p.method == name), key=lambda p: (p.loss, p.members))
        for name in SIMPLEST_FIRST
        if any(p.method == name for p in points)
    ]
    return next(point for point in heads if point is best or within_noise(point, best))


def within_noise(point: Point, best: Point) -> bool:
    """Whether the mean distance to the best, over folds, is at most its standard error."""
    behind = point.by_fold - best.by_fold
    error = float(behind.std(ddof=1) / np.sqrt(len(behind))) if len(behind) > 1 else 0.0
    return float(behind.mean()) <= error


def _points(
    name: str,
    learn: Any,
    predictions: list[Array],
    y: Array,
    w: Array,
    fold: NDArray[np.int8],
    metric: str,
    spec: EnsembleSpec,
    pool: Pool,
) -> list[Point]:
    """Return the method's combinations that keep within the limits; honest predictions are those of as many members."""
    final = learn(*_thin(predictions, y, w, fold, spec.choice_rows))
    # Stacking without any weight is a constant prediction: there is nothing to learn, and the gate says so.
    final = [combine for combine in final if any(weight != 0.0 for weight in combine["weights"])]
    costs = [pool.cost(np.asarray(combine["weights"]) != 0.0) for combine in final]
    kept = [index for index, cost in enumerate(costs) if cost.within(spec.max_row_ms, spec.max_bytes)]
    if not kept:
        return []
    honest = [np.empty_like(predictions[0]) for _ in final]
    by_fold: list[list[float]] = [[] for _ in final]
    folds = [int(value) for value in np.unique(fold)]
    for held in folds:
        inside = fold == held
        # One fold alone leaves nothing to learn on: then a method is judged, flattered, on its own rows.
        learn_on = ~inside if len(folds) > 1 else inside
        found = learn(
            *_thin([one[learn_on] for one in predictions], y[learn_on], w[learn_on], fold[learn_on], spec.choice_rows)
        )
        for index in kept:
            combine = found[min(index, len(found) - 1)]
            if not any(weight != 0.0 for weight in combine["weights"]):
                combine = final[index]
            y_pred = combine_predictions(combine, [one[inside] for one in predictions])
            honest[index][inside] = y_pred
            by_fold[index].append(METRICS[metric].loss(y[inside], y_pred, w[inside]))
    return [
        Point(
            name,
            final[index],
            honest[index],
            METRICS[metric].loss(y, honest[index], w),
            np.asarray(by_fold[index]),
            costs[index],
        )
        for index in kept
    ]


def _check_limits(pool: Pool, spec: EnsembleSpec) -> None:
    alone = [cost for cost, method in zip(pool.costs, pool.methods, strict=True) if not method]
    if any(cost.within(spec.max_row_ms, spec.max_bytes) for cost in alone):
        return
    raise SpecError(
        "no trial is fast and small enough for the limits",
        where="EnsembleSpec.max_row_ms, EnsembleSpec.max_bytes",
        seen=f"max_row_ms={spec.max_row_ms}, max_bytes={spec.max_bytes}",
        expected=f"at least {min(c.row_ms for c in alone):.3g} ms and {min(c.bytes for c in alone):,} bytes",
        cure="raise the limits, or give the search families that make smaller members, for example linear",
    )


def _thin(
    predictions: list[Array], y: Array, w: Array, fold: NDArray[np.int8], most: int
) -> tuple[list[Array], Array, Array, NDArray[np.int8]]:
    step = -(-len(y) // most)
    return [np.ascontiguousarray(one[::step]) for one in predictions], y[::step], w[::step], fold[::step]
