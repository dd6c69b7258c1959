"""Fits a candidate on some rows: a trial as it is, a bag, a reader of others' predictions, or corrections of one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.algorithms.base import (
    Array,
    Dataset,
    Family,
    FitContext,
    Fitted,
    Limit,
    OutOfTimeError,
    Params,
    TaskInfo,
)
from pipelines.algorithms.class_imbalance import AUGMENT, Augmented
from pipelines.algorithms.families import family
from pipelines.ensembling.candidates.candidates import Candidate, Made
from pipelines.inference.ensemble.combine import scores_of
from pipelines.inference.members.combination_nodes import BAG, BOOSTED, EnsembleNode
from pipelines.inference.members.registry import Member

ON_GPU = threading.Lock()
"""Held by a fit on a GPU: candidates are fitted side by side, and each takes the memory of the GPU for itself."""
Fit = Callable[[Family, Params, Dataset, Dataset | None, TaskInfo, FitContext], Fitted]
_elsewhere: list[Fit] = []
LEAST_VARIANCE = 0.02
"""Variance of a probability below which a correction is not made larger still."""
LARGEST_CORRECTION = 4.0
"""In units of log odds, as in the LogitBoost of Friedman, Hastie and Tibshirani (2000)."""


@dataclass
class FittedParts:
    """Fitted members of one candidate, to become a node once its index among the others is known.

    ``device`` is where they were fitted; ``note`` says why, if that is not where they were to be.
    """

    parts: tuple[Member, ...]
    learned: list[dict[str, float]] = field(default_factory=list)
    bag: bool = False
    device: str = "cpu"
    note: str = ""

    def node(self, made: Made | None, index_of: Mapping[int, int], classes: int) -> EnsembleNode:
        """Return the node; ``index_of`` has the index of each candidate that it reads, by number."""
        if made is None:
            return EnsembleNode(self.parts, kind=BAG if self.bag else "member")
        reads = tuple(index_of[number] for number in made.reads)
        if made.kind == "boosted":
            base = None if made.base is None else index_of[made.base]
            return EnsembleNode(self.parts, reads, BOOSTED, base, made.step, classes)
        return EnsembleNode(self.parts, reads, BAG if self.bag or made.kind == "bag" else "member")


@contextmanager
def fits_on_gpu_by(fit: Fit) -> Iterator[None]:
    """Let ``fit`` make the fits on a GPU, for all threads; it may make several at a time."""
    _elsewhere.append(fit)
    try:
        yield
    finally:
        _elsewhere.remove(fit)


def fit_parts(
    candidate: Candidate,
    params: Params,
    rows: Dataset,
    valid: Dataset | None,
    needed: list[Array],
    needed_valid: list[Array],
    shape: TaskInfo,
    *,
    seed: int,
    threads: int,
    limit: Limit,
) -> FittedParts:
    """Fit one candidate, on its device if its family can use that and it works, else on the CPU.

    Parameters
    ----------
    rows, valid
        To learn from, and, where given, to stop the growth by.
    needed, needed_valid
        Out-of-fold predictions, (n,) or (n, classes), of the trials in ``made.needs``, for ``rows`` and ``valid``. A
        boosted candidate without base is given its target scores instead.

    Raises
    ------
    OutOfTimeError
        At the hard end of ``limit``.
    """
    learner = _learner(candidate, params)

    def on(device: str, note: str = "") -> FittedParts:
        lessons = _lessons(candidate.made, params, rows, valid, needed, needed_valid, shape, seed)
        fit = _elsewhere[-1] if _elsewhere and device != "cpu" else _here
        fits = [
            fit(learner, own, part, check, info, FitContext(own_seed, threads, limit, device))
            for own, part, check, info, own_seed in lessons
        ]
        members, learned = tuple(fitted.member for fitted in fits), [fitted.learned for fitted in fits]
        return FittedParts(members, learned, device=device, note=note)

    device = candidate.device
    if device == "cpu" or device not in learner.devices:
        return on("cpu")
    try:
        with nullcontext() if _elsewhere else ON_GPU:
            return on(device)
    except OutOfTimeError:
        raise
    except Exception as error:  # noqa: BLE001 - a GPU that is busy, too small or unknown to the library's build
        why = f"on the {device}: {type(error).__name__}: {error}".splitlines()[0]
        return on("cpu", f"{why}; so it was fitted on the cpu")


def _here(
    learner: Family, params: Params, rows: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
) -> Fitted:
    return learner.fit(params, rows, valid, shape, context)


def _lessons(
    made: Made | None,
    params: Params,
    rows: Dataset,
    valid: Dataset | None,
    needed: list[Array],
    needed_valid: list[Array],
    shape: TaskInfo,
    seed: int,
) -> Iterator[tuple[Params, Dataset, Dataset | None, TaskInfo, int]]:
    """Yield settings, rows to learn from and to stop by, their shape and the seed of one fit after the other."""
    if made is None:
        yield params, rows, valid, shape, seed
    elif made.kind == "bag":
        for bag in range(made.bags):
            chosen = np.sort(np.random.default_rng([seed, bag]).integers(0, len(rows.y), len(rows.y)))
            yield params, Dataset(rows.X[chosen], rows.y[chosen], rows.w[chosen]), valid, shape, seed + bag
    elif made.kind == "boosted":
        goals = _goals(made, rows, needed, shape)
        checks = _goals(made, valid, needed_valid, shape) if valid is not None else [None] * len(goals)
        for goal, check, own in zip(goals, checks, made.each or (params,) * len(goals), strict=True):
            yield own, goal, check, numbers(shape), seed
    else:
        wide = wider(shape, sum(scores_of(one).shape[1] for one in needed))
        yield params, _with(rows, needed), None if valid is None else _with(valid, needed_valid), wide, seed


def numbers(shape: TaskInfo) -> TaskInfo:
    """Return the shape of a regression on the same columns."""
    return replace(shape, task="regression", metric="rmse", classes=0, nonnegative=False)


def wider(shape: TaskInfo, columns: int) -> TaskInfo:
    """Return the shape with some more columns of numbers."""
    kinds, sizes = (*shape.kinds, *("number",) * columns), (*shape.cardinality, *(0,) * columns)
    return replace(shape, kinds=kinds, cardinality=sizes)


def _learner(candidate: Candidate, params: Params) -> Family:
    learner = family(candidate.family)
    return Augmented(learner) if AUGMENT in params else learner


def _with(rows: Dataset, predictions: list[Array]) -> Dataset:
    return Dataset(np.concatenate([rows.X, *(scores_of(one) for one in predictions)], axis=1), rows.y, rows.w)


def _goals(made: Made, rows: Dataset, predictions: list[Array], shape: TaskInfo) -> list[Dataset]:
    """Return what each correction learns: residuals, or for classes LogitBoost's working responses and weights."""
    y_pred = predictions[0]
    if made.base is None:
        return [Dataset(rows.X, np.ascontiguousarray(column), rows.w) for column in y_pred.T]
    if not shape.classes:
        return [Dataset(rows.X, rows.y - y_pred, rows.w)]
    goals = []
    for label in (1,) if shape.classes == 2 else range(shape.classes):
        share = y_pred[:, label]
        variance = np.maximum(share * (1.0 - share), LEAST_VARIANCE)
        goal = np.clip(((rows.y == label) - share) / variance, -LARGEST_CORRECTION, LARGEST_CORRECTION)
        goals.append(Dataset(rows.X, goal, rows.w * variance))
    return goals
