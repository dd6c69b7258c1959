"""Candidates fitted on top of trials, with out-of-fold predictions of their own: bags, corrections, readers, layers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms import metrics
from pipelines.algorithms.augment import AUGMENT
from pipelines.algorithms.base import Array
from pipelines.algorithms.catalogue import family
from pipelines.algorithms.table import Columns
from pipelines.ensembling.candidates import Candidate, Made
from pipelines.ensembling.fit import FittedParts, fit_parts, numbers, wider
from pipelines.ensembling.methods import VOTES
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.inference.combine import answer_of, scores_of

TREES = ("lightgbm", "xgboost", "catboost", "random_forest", "extra_trees", "decision_tree", "adaboost")
LINEAR = "linear"
FIRST_NUMBER = 100_000
"""Numbers of candidates that are no trials start here."""
SECOND_LAYER = 3
"""Trials whose settings make the second layer."""
LARGEST_STEP = 2.0


def planned(
    trials: list[Candidate], columns: Columns, spec: EnsembleSpec
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Give the candidates that the methods of the spec ask for, not fitted yet, and what cannot be made and why.

    Parameters
    ----------
    trials
        Best first.
    """
    made: list[Candidate] = []
    left_out: list[dict[str, Any]] = []

    def add(learner: Candidate, how: Made) -> None:
        raw = {name: value for name, value in learner.raw.items() if name != AUGMENT or how.kind == "bag"}
        made.append(replace(learner, number=FIRST_NUMBER + len(made), raw=raw, made=how))

    def without(method: str, why: str) -> None:
        left_out.append({"method": method, "why": why})

    firsts = _best_of_each(trials)
    others = [trial for trial in firsts if trial.family != trials[0].family]
    trees = [trial for trial in firsts if trial.family in TREES]
    linear = [trial for trial in firsts if trial.family == LINEAR]
    regress = [trial for trial in firsts if "regression" in getattr(family(trial.family), "tasks", ("regression",))]
    for method in spec.methods:
        if method in VOTES and not columns.shape.classes:
            without(method, "votes are for classes, this is a regression")
        elif method == "bagging":
            add(trials[0], Made(method, "bag", bags=spec.bags))
        elif method == "boosting":
            second = next((trial for trial in regress if trial.family != trials[0].family), None)
            if second or regress:
                add(_numbers_learner(second or regress[0], columns), Made(method, "boosted", base=trials[0].number))
            else:
                without(method, "no family of the search fits numbers")
        elif method == "hybrid":
            if linear and trees:
                add(_numbers_learner(trees[0], columns), Made(method, "boosted", base=linear[0].number))
            else:
                without(method, f"it needs a linear trial and one of trees, seen {[t.family for t in firsts]}")
        elif method == "cascade":
            first = others[0] if others else trials[1] if len(trials) > 1 else None
            if first is None:
                without(method, "it needs two trials")
            else:
                add(trials[0], Made(method, "member", reads=(first.number,)))
        elif method == "stacking_features":
            reads = tuple(trial.number for trial in trials[: spec.max_members])
            width = sum(scores_of(_answer(trial, columns)[:1]).shape[1] for trial in trials[: spec.max_members])
            raw = family(LINEAR).default(wider(columns.shape, width))
            add(replace(trials[0], family=LINEAR, raw=raw, params=raw), Made(method, "member", reads=reads))
        elif method == "two_layers":
            reads = tuple(trial.number for trial in _layer(trials, firsts, spec.max_members))
            for trial in firsts[:SECOND_LAYER]:
                add(trial, Made(method, "member", reads=reads))
    return made, left_out


def derive(
    planned: list[Candidate], trials: list[Candidate], columns: Columns, *, seed: int, cores: int, seconds: float | None
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Cross-fit the planned candidates on the folds of the trials; give the finished ones and what was left out.

    Parameters
    ----------
    seconds
        Time that all of it may take, by what the trials took; what would take longer is left out. None: not limited,
        and then nothing depends on the clock or on ``cores``.
    """
    by_number = {trial.number: trial for trial in trials}
    made: list[Candidate] = []
    left_out: list[dict[str, Any]] = []
    for candidate in planned:
        cost = _seconds(candidate, columns) / max(1, min(cores, len(columns.folds)))
        if seconds is not None:
            if cost > seconds:
                left_out.append(candidate.left_out(f"it would take about {cost:.0f} s, more than the budget has left"))
                continue
            seconds -= cost
        try:
            made.append(cross_fit(candidate, by_number, columns, seed=seed, cores=cores))
        except Exception as error:  # noqa: BLE001 - a family may fail in any way; the trials remain
            left_out.append(candidate.left_out(f"{type(error).__name__}: {error}".splitlines()[0]))
    return made, left_out


def cross_fit(
    candidate: Candidate, by_number: Mapping[int, Candidate], columns: Columns, *, seed: int, cores: int
) -> Candidate:
    """Fit on all folds but one in turn, from the trials' out-of-fold answers; give it with ``oof``, loss and settings.

    Raises
    ------
    ArithmeticError
        If an answer is not finite.
    """
    made = candidate.made
    if made is None:
        raise ValueError("only what is fitted on top of trials is cross-fitted here")
    held = columns.held_out
    answers = [_answer(by_number[number], columns) for number in made.needs]
    raw = candidate.raw

    def one(fold: int) -> FittedParts:
        train, valid, shape = columns.sides(fold)
        inside = columns.fold == fold
        learn = held & ~inside
        # Rows that are never held out have no answers to learn from.
        train = type(train)(*(values[learn[~inside]] for values in train))
        return fit_parts(
            candidate, raw, train, valid, [a[learn] for a in answers], [a[inside] for a in answers], shape,
            seed=seed, threads=1,
        )  # fmt: skip

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(max_workers=max(1, cores)) as pool:
        fits = list(pool.map(one, columns.folds))
    if made.kind == "boosted":
        made = replace(made, step=_step(fits, made, columns, answers))
    oof = np.full((len(columns.y), columns.shape.outputs), np.nan)
    places = {number: place for place, number in enumerate(made.needs)}
    for fold, fitted in zip(columns.folds, fits, strict=True):
        inside = columns.fold == fold
        node = fitted.node(made, places, columns.shape.classes)
        answer = node.predict(columns.sides(fold)[1].X, [a[inside] for a in answers])
        oof[inside] = answer.reshape(int(inside.sum()), -1)
    if not np.isfinite(oof[held]).all():
        raise ArithmeticError("its out-of-fold predictions are not finite")
    learned = [entry for fitted in fits for entry in fitted.learned]
    candidate = replace(candidate, oof=oof, made=made, params=family(candidate.family).settle(raw, learned))
    loss = metrics.loss(columns.shape.metric, columns.y[held], _answer(candidate, columns)[held], columns.w[held])
    return replace(candidate, loss=loss)


def _step(fits: list[FittedParts], made: Made, columns: Columns, answers: list[Array]) -> float:
    """Give what the corrections are best multiplied by, on out-of-fold rows: one number for all of them."""
    start, moves, truth, weight = [], [], [], []
    for fold, fitted in zip(columns.folds, fits, strict=True):
        inside = columns.fold == fold
        X = columns.sides(fold)[1].X
        start.append(scores_of(answers[0][inside]))
        moves.append(np.column_stack([part.predict(X) for part in fitted.parts]))
        truth.append(columns.y[inside])
        weight.append(columns.w[inside])
    scores, move, y, w = (np.concatenate(values) for values in (start, moves, truth, weight))
    metric = "log_loss" if columns.shape.classes else "rmse"

    def loss(step: float) -> float:
        return metrics.loss(metric, y, answer_of(scores + step * move, columns.shape.classes), w)

    return round(float(minimize_scalar(loss, bounds=(0.0, LARGEST_STEP), method="bounded").x), 4)


def _answer(candidate: Candidate, columns: Columns) -> Array:
    """Give out-of-fold answers of all rows, (n,) or (n, classes)."""
    return candidate.oof if columns.shape.classes else np.ascontiguousarray(candidate.oof[:, 0])


def _best_of_each(trials: list[Candidate]) -> list[Candidate]:
    seen: dict[str, Candidate] = {}
    for trial in trials:
        seen.setdefault(trial.family, trial)
    return list(seen.values())


def _layer(trials: list[Candidate], firsts: list[Candidate], most: int) -> list[Candidate]:
    """Give the first layer: the best of each family, then the best others."""
    numbers_of_firsts = {trial.number for trial in firsts}
    return [*firsts, *(trial for trial in trials if trial.number not in numbers_of_firsts)][:most]


def _numbers_learner(trial: Candidate, columns: Columns) -> Candidate:
    """Give the trial with settings for numbers: its own for a regression, else the family's default for one."""
    if not columns.shape.classes:
        return trial
    return replace(trial, raw=family(trial.family).default(numbers(columns.shape)))


def _seconds(candidate: Candidate, columns: Columns) -> float:
    """Estimate the time that the folds and the refit take, from the trial that the settings come from."""
    made = candidate.made
    times = 1 if made is None else made.bags
    if made is not None and made.kind == "boosted" and columns.shape.classes > 2:
        times = columns.shape.classes
    return candidate.refit_seconds * times * (len(columns.folds) + 1)
