"""Cross-fits what is fitted on top of trials: out-of-fold predictions made without any label of their own fold."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.base import FEW_ROWS, Array, Limit, Params
from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.candidates.candidates import Candidate, constant
from pipelines.ensembling.fitting.fit_candidate import FittedParts, fit_parts
from pipelines.ensembling.fitting.nested_oof import Nested
from pipelines.inference.ensemble.combine import predictions_of, scores_of
from pipelines.metrics import METRICS

LARGEST_STEP = 2.0
WHOLE = -1
"""Stands for all folds."""
STEP_ROWS = 20_000
"""Rows that the one number of a boosted candidate is found on."""


def cross_fit(
    candidate: Candidate, nested: Nested, columns: Columns, *, seed: int, cores: int, until: float | None = None
) -> Candidate:
    """Fit on all folds but one in turn, from predictions made without it; return ``oof``, loss and settings.

    On a table of up to ``FEW_ROWS`` the rows that judge do not say how far a fit grows: it is fitted once more, as far
    as the other folds' fits came.

    Raises
    ------
    ArithmeticError
        If a prediction is not finite, or all predictions of every fold are alike.
    OutOfTimeError
        At ``until``.
    """
    made = candidate.made
    if made is None:
        raise ValueError("only what is fitted on top of trials is cross-fitted here")
    held = columns.held_out
    needs = made.needs
    for number in needs:
        nested.prepare(number, until)
    predictions = [oof_of(nested.trials[number], columns) for number in needs]
    raw = candidate.raw

    def one(fold: int, others: Sequence[FittedParts] = ()) -> FittedParts:
        train, valid, shape = columns.sides(fold)
        inside = columns.fold == fold
        learn = held & ~inside
        # Rows that are never held out have no predictions to learn from.
        train = type(train)(*(values[learn[~inside]] for values in train))
        lessons = [nested.learned_from(number, fold)[learn] for number in needs]
        settled, known = (_settled(candidate, others), None) if others else ((candidate, raw), valid)
        checks = [] if known is None else [one[inside] for one in predictions]
        return fit_parts(*settled, train, known, lessons, checks, shape, seed=seed, threads=1, limit=Limit(hard=until))

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(max_workers=max(1, cores)) as pool:
        fits = list(pool.map(one, columns.folds))
        if len(columns.y) <= FEW_ROWS and _settled(candidate, fits)[1] != raw:
            others = [fits[:index] + fits[index + 1 :] for index in range(len(fits))]
            again = list(pool.map(one, columns.folds, others))
            fits = [replace(new, learned=first.learned) for new, first in zip(again, fits, strict=True)]
    steps = _steps(fits, columns, predictions) if made.kind == "boosted" else {}
    oof = np.full((len(columns.y), columns.shape.outputs), np.nan)
    index_of = {number: index for index, number in enumerate(needs)}
    for fold, fitted in zip(columns.folds, fits, strict=True):
        inside = columns.fold == fold
        node = fitted.node(replace(made, step=steps.get(fold, made.step)), index_of, columns.shape.classes)
        y_pred = node.predict(columns.judged(fold).X, [one[inside] for one in predictions])
        oof[inside] = y_pred.reshape(int(inside.sum()), -1)
    settled, params = _settled(candidate, fits)
    made = settled.made or made
    if made.kind == "boosted":
        made = replace(made, step=steps[WHOLE])
    if not np.isfinite(oof[held]).all():
        raise ArithmeticError("its out-of-fold predictions are not finite")
    if constant(oof[held], columns):
        raise ArithmeticError("its predictions are constant")
    candidate = replace(candidate, oof=oof, made=made, params=params)
    loss = METRICS[columns.shape.metric].loss(columns.y[held], oof_of(candidate, columns)[held], columns.w[held])
    return replace(candidate, loss=loss)


def _settled(candidate: Candidate, fits: Sequence[FittedParts]) -> tuple[Candidate, Params]:
    """Return candidate and its settings, by what fits of it have learned; corrections have settings of their own."""
    raw, settle = candidate.raw, family(candidate.family).settle
    params = settle(raw, [entry for fitted in fits for entry in fitted.learned])
    if candidate.made is None or candidate.made.kind != "boosted":
        return candidate, params
    each = tuple(settle(raw, [fitted.learned[part] for fitted in fits]) for part in range(len(fits[0].parts)))
    return replace(candidate, made=replace(candidate.made, each=each)), params


def _steps(fits: list[FittedParts], columns: Columns, predictions: list[Array]) -> dict[int, float]:
    """Return what the corrections are best multiplied by: for each fold by the rows of the others, and by all rows."""
    start, moves, truth, weight, side = [], [], [], [], []
    for fold, fitted in zip(columns.folds, fits, strict=True):
        inside = columns.fold == fold
        X = columns.judged(fold).X
        start.append(scores_of(predictions[0][inside]))
        moves.append(np.column_stack([part.predict(X) for part in fitted.parts]))
        truth.append(columns.y[inside])
        weight.append(columns.w[inside])
        side.append(columns.fold[inside])
    thin = -(-sum(map(len, truth)) // STEP_ROWS)
    scores, move, y, w = (np.concatenate(values)[::thin] for values in (start, moves, truth, weight))
    folds = np.concatenate(side)[::thin]
    metric = "log_loss" if columns.shape.classes else "rmse"

    def best(rows: NDArray[np.bool_]) -> float:
        def loss(step: float) -> float:
            y_pred = predictions_of(scores[rows] + step * move[rows], columns.shape.classes)
            return METRICS[metric].loss(y[rows], y_pred, w[rows])

        return round(float(minimize_scalar(loss, bounds=(0.0, LARGEST_STEP), method="bounded").x), 4)

    whole = best(folds >= 0)
    if len(columns.folds) < 2:
        return {WHOLE: whole} | dict.fromkeys(columns.folds, whole)
    return {WHOLE: whole} | {fold: best(folds != fold) for fold in columns.folds}


def oof_of(candidate: Candidate, columns: Columns) -> Array:
    """Return the out-of-fold predictions of all rows, (n,) or (n, classes)."""
    return candidate.oof if columns.shape.classes else np.ascontiguousarray(candidate.oof[:, 0])
