"""One trial: a configuration of a family, fitted on all folds but one, in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np

from pipelines.algorithms.base import FEW_ROWS, Array, Dataset, Family, FitContext, Fitted, Limit, Params, too_slow
from pipelines.algorithms.training_data import Columns, drawn
from pipelines.metrics import METRICS, unsupervised
from pipelines.tuning.pruning import estimate, given_up


class UnfitError(Exception):
    """A trial's predictions cannot be used; the text says why."""


@dataclass
class Validated:
    """Result of a trial.

    ``oof`` is (n, 1) or (n, classes), NaN in rows that are never held out, (n, 0) without a target; ``loss`` is the
    metric, smaller is better, estimated from the folds done when ``pruned``; ``fit_seconds`` is the mean over folds of
    what all rows would have taken; ``fitted`` is the last fold's.
    """

    oof: Array
    loss: float
    fold_losses: list[float]
    fit_seconds: float
    learned: list[dict[str, float]] = field(default_factory=list)
    pruned: bool = False
    fitted: Fitted | None = None


def cross_validate(
    family: Family,
    params: Params,
    columns: Columns,
    *,
    seed: int,
    threads: int = 1,
    soft: float | None = None,
    hard: float | None = None,
    until: float | None = None,
    rival: Sequence[float] = (),
    rival_loss: float = 0.0,
    bars: Sequence[float] = (),
    device: str = "cpu",
    rows: int | None = None,
    gpu_share: float = 1.0,
) -> Validated:
    """Fit and predict each fold.

    The rows that judge a fold also end the growth of its fit, and so flatter it: with 600 rows boosters find 0.51 to
    0.53 of AUC in shuffled labels, with 6,000 nothing above chance. A table of up to ``FEW_ROWS`` is
    therefore fitted once more, each fold growing as far as the other folds came; bars still compare first fits.

    Without a target each fold's rows are judged in the design matrix of the fit on the others, and the loss is that of
    all rows' terms together; what folds call their clusters or components is never compared.

    Parameters
    ----------
    soft, hard
        Moments of ``time.time``: by ``soft`` the family shall have finished all folds, growing less if it must;
        at ``hard`` the trial ends with ``OutOfTimeError``.
    until
        Moment at which the trial is killed: one whose first folds show that it will not have ended by then ends with
        ``OutOfTimeError`` at once, which leaves the time to others.
    rival, rival_loss
        Fold losses of the best trial known when this one was proposed, and its loss on all rows.
    bars
        Mean losses of the first 1, 2, … folds above which the trial is given up; empty: never.
    device
        Where the family fits.
    rows
        Most rows that one fit learns from, drawn at random; a fourth as many may stop its growth. All rows of the fold
        are predicted in any case. None: all.
    gpu_share
        Share of a GPU's memory that one fit may hold.

    Raises
    ------
    OutOfTimeError
        At ``hard``, or as soon as it is known that all folds will not be done by ``until``.
    UnfitError
        If a prediction is not finite.
    """
    for module in family.needs if until is not None else ():
        with suppress(ImportError):  # the fit will say so
            import_module(module)  # else the first fit would pass for slow
    began = time.time()
    shape, few = columns.shape, bool(columns.shape.outputs) and len(columns.y) <= FEW_ROWS
    oof = np.full((len(columns.y), shape.outputs), np.nan)
    losses: list[float] = []
    learned: list[dict[str, float]] = []
    terms: list[Array] = []
    seconds = 0.0
    fitted: Fitted | None = None
    folds = columns.folds[
        ::-1
    ]  # of blocks of days the last is most like the nights to come: a trial must pass it first
    for position, fold in enumerate(folds):
        inside = columns.fold == fold
        train, valid, info = columns.sides(fold, rows)
        now = time.time()
        left = len(folds) - position
        share = None if soft is None else now + max(0.0, soft - now) / ((2 if few else 1) * len(folds) - position)
        context = FitContext(seed, threads, Limit(share, hard, gpu_share, until, left), device)
        judge = _some(valid, None if rows is None else rows // 4, fold)
        fitted = family.fit(params, train, judge, info, context)
        seconds += (time.time() - now) * (len(columns.y) - len(valid.y)) / len(train.y)
        y_pred = fitted.predict(valid.X)
        if not np.isfinite(y_pred).all():
            raise UnfitError(f"{np.count_nonzero(~np.isfinite(y_pred))} predictions of fold {fold} are not finite")
        learned.append(fitted.learned)
        if shape.outputs:
            oof[inside] = y_pred.reshape(len(valid.y), -1)
            losses.append(METRICS[shape.metric].loss(valid.y, y_pred, valid.w))
        else:
            own = unsupervised.evaluate_member(fitted.member, valid.X, y_pred)
            terms.append(unsupervised.row_terms(shape.metric, own, valid.w))
            losses.append(-METRICS[shape.metric].sign * unsupervised.ratio(terms[-1]))
        if position + 1 < len(folds) and given_up(losses, bars):
            guess = estimate(losses, rival, rival_loss)
            return Validated(oof, guess, losses, seconds / len(losses), learned, pruned=True, fitted=fitted)
        each = (time.time() - began) / (position + 1)
        if until is not None and time.time() + each * (left - 1) > until:
            raise too_slow(each, len(folds), until - began)
    if few and (soft is None or time.time() < soft):  # else time ended the growth, not the rows that judge
        context = FitContext(seed, threads, Limit(hard=hard, gpu_share=gpu_share), device)
        _fit_again(family, params, columns, learned, oof, context)
    if terms:
        loss = -METRICS[shape.metric].sign * unsupervised.ratio(np.concatenate(terms))
    else:
        held = columns.held_out
        whole = oof[held] if shape.classes else oof[held, 0]
        loss = METRICS[shape.metric].loss(columns.y[held], whole, columns.w[held])
    return Validated(oof, loss, losses, seconds / max(1, len(losses)), learned, fitted=fitted)


def _fit_again(
    family: Family,
    params: Params,
    columns: Columns,
    learned: Sequence[dict[str, float]],
    oof: Array,
    context: FitContext,
) -> None:
    """Write to ``oof`` each fold's predictions by a fit that grows as far as the other folds did.

    ``learned`` is what each fold's fit has learned, the last fold's first. Families that do not look at the rows that
    judge are left as they are.
    """
    for index, fold in enumerate(columns.folds[::-1]):
        settled = family.settle(params, [*learned[:index], *learned[index + 1 :]])
        if settled == params:
            return
        train, valid, info = columns.sides(fold)
        fitted = family.fit(settled, train, None, info, context)
        y_pred = fitted.predict(valid.X)
        if not np.isfinite(y_pred).all():
            raise UnfitError(f"{np.count_nonzero(~np.isfinite(y_pred))} predictions of fold {fold} are not finite")
        oof[columns.fold == fold] = y_pred.reshape(len(valid.y), -1)


def _some(part: Dataset, rows: int | None, fold: int) -> Dataset:
    count = len(part.y)
    if rows is None or count <= rows:
        return part
    chosen = drawn(count, rows, fold)
    return Dataset(part.X[chosen], part.y[chosen], part.w[chosen])
