"""Fits selection: once if it does not use the target, else once per fold on the rows of the other folds.

A fold must be judged with the features that its own labels had no part in choosing; those of the plan, which see all
labels, are the ones that a majority of the folds chose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.dask_cluster import on_each
from pipelines.features.fitting.boruta import CELLS, ROWS, shadow_hits
from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.information import binned, information
from pipelines.features.fitting.reduce import moments
from pipelines.features.spec import Select
from pipelines.inference.operations.base import Numbers

LIMITS = {"variance": 0.0, "correlation": 0.98, "shadow": 0.5}


def fit_select(step: Select, data: TrainingData) -> FittedStep:
    """Return the features to leave out, and those to leave out when each fold judges."""
    if step.by in ("mutual_information", "shadow"):
        return _by_target(step, data)
    names = list(dict.fromkeys([*data.outputs, *(name for fold in data.judges for name in data.candidates(fold))]))
    numbers = [name for name in names if data.kinds[name] == "number"]
    limit = LIMITS[step.by] if step.limit is None else step.limit
    if step.by == "variance":
        spread = dict(zip(numbers, data.each(numbers, _variance), strict=True))
        little = {n: f"variance {value:.3g}, at most {limit:g}" for n, value in spread.items() if value <= limit}
        little = {name: reason for name, reason in little.items() if name not in step.always}
        return _for_all(data, lambda candidates: {n: little[n] for n in candidates if n in little})
    scatter = moments(data, numbers).scatter if numbers else np.zeros((0, 0))
    size = np.sqrt(np.diag(scatter))
    with np.errstate(invalid="ignore", divide="ignore"):
        likeness = np.nan_to_num(np.abs(scatter / np.outer(size, size)))
    index = {name: number for number, name in enumerate(numbers)}
    return _for_all(data, lambda candidates: _alike(candidates, index, likeness, limit, step.always))


def _for_all(data: TrainingData, decide: Callable[[Sequence[str]], dict[str, str]]) -> FittedStep:
    """Decide for the plan and, if the features differ by fold, for each fold."""
    by_fold = {fold: decide(data.candidates(fold)) for fold in data.judges} if data.outputs_by_fold else {}
    return FittedStep(dropped=decide(data.outputs), dropped_by_fold=by_fold)


def _variance(_name: str, column: Numbers) -> float:
    given = column[~np.isnan(column)]
    return float(given.var()) if len(given) else 0.0


def _alike(
    candidates: Sequence[str], index: Mapping[str, int], likeness: Numbers, limit: float, always: Sequence[str]
) -> dict[str, str]:
    """Return the features that correlate with an earlier kept one; those that are always kept come first."""
    stay: list[str] = []
    dropped: dict[str, str] = {}
    ordered = sorted((name for name in candidates if name in index), key=lambda name: name not in always)
    for name in ordered:
        other = next((kept for kept in stay if likeness[index[name], index[kept]] > limit), None)
        if other is None or name in always:
            stay.append(name)
        else:
            dropped[name] = f"correlation {likeness[index[name], index[other]]:.4f} with {other!r}, above {limit:g}"
    return dropped


def _by_target(step: Select, data: TrainingData) -> FittedStep:
    """Let every fold choose on the others' rows; return what no majority chooses, and each fold's own choice."""
    fold, y, weight = data.fold(), data.y(), data.weight()
    judge = _informed if step.by == "mutual_information" else _important

    def one(number: int) -> dict[str, tuple[bool, float]]:
        rows = np.flatnonzero(fold != number)
        return judge(step, data.view(number), data.candidates(number), rows, y[rows], weight[rows], number)

    results = dict(zip(data.judges, on_each(one, data.judges), strict=True))
    chosen = {number: _best(step, found) for number, found in results.items()}
    names = data.outputs
    votes = {name: sum(name in found for found in chosen.values()) for name in names}
    merit = {name: float(np.mean([found.get(name, (False, 0.0))[1] for found in results.values()])) for name in names}
    needed = len(chosen) // 2 + 1
    kept = _best(step, {name: (votes[name] >= needed, votes[name] + merit[name] * 1e-9) for name in names})
    dropped = {
        name: f"{step.by.replace('_', ' ')}: chosen on {votes[name]} of {len(chosen)} folds"
        for name in names
        if name not in kept
    }
    by_fold = {
        number: {
            name: f"{step.by.replace('_', ' ')} without fold {number}" for name in found if name not in chosen[number]
        }
        for number, found in results.items()
    }
    return FittedStep(dropped=dropped, dropped_by_fold=by_fold)


def _best(step: Select, found: Mapping[str, tuple[bool, float]]) -> set[str]:
    """Return the features that pass, at most ``most`` and at least the best one, and those that are always kept."""
    ranked = sorted(found, key=lambda name: -found[name][1])
    passed = [name for name in ranked if found[name][0]] or ranked[:1]
    return {*passed[: step.most], *(name for name in step.always if name in found)}


def _informed(
    step: Select,
    view: TrainingData,
    names: Sequence[str],
    rows: npt.NDArray[np.intp],
    y: Numbers,
    w: Numbers,
    _seed: int,
) -> dict[str, tuple[bool, float]]:
    """Judge each feature by its mutual information with the target on some rows."""
    labels = binned(y) if view.classes is None else y.astype(np.intp)
    found = {}
    for name in names:
        bins = binned(view.column(name)[rows], code=view.kinds[name] == "code")
        told = information(bins, labels, w)
        constant = bool((bins == bins[:1]).all())
        passes = told.nats > (told.chance if step.limit is None else step.limit)
        found[name] = (passes, -np.inf if constant else told.nats)
    return found


def _important(
    step: Select,
    view: TrainingData,
    names: Sequence[str],
    rows: npt.NDArray[np.intp],
    y: Numbers,
    w: Numbers,
    seed: int,
) -> dict[str, tuple[bool, float]]:
    """Judge all features by the importance of their shuffled copies, on as many rows as that needs."""
    most = max(100, min(ROWS, CELLS // max(1, len(names))))
    some = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.intp))
    X = np.empty((len(some), len(names)))
    for index, name in enumerate(names):
        X[:, index] = view.column(name)[rows[some]]
    share, score = shadow_hits(X, y[some], w[some], len(view.classes or ()), view.seed * 1_000 + seed)
    limit = LIMITS["shadow"] if step.limit is None else step.limit
    return {name: (bool(share[index] > limit), float(score[index])) for index, name in enumerate(names)}


FITS = {"select": fit_select}
