"""Predictions of trials made without a fold: without its labels, and without models fitted on these labels.

An out-of-fold prediction of a row of one fold comes from a model that learned the labels of all others. What is
fitted on such predictions, without fold k, still has the labels of fold k before it: a linear model of the columns and
of a linear trial's predictions finds its own fit minus the trial's, which is what the trial learned from the fold left
out, and is right on shuffled labels. So what is judged on fold k is fitted on predictions of models fitted without
fold k and without the fold they predict.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.base import Array, Limit
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.ensembling.fitting.fit_candidate import fit_parts


class Nested:
    """Makes and keeps the predictions of trials, by the fold that they must not learn from.

    Parameters
    ----------
    trials
        By number.
    """

    def __init__(self, trials: Mapping[int, Candidate], columns: Columns, *, seed: int, cores: int) -> None:
        self.trials, self.columns, self.seed, self.cores = trials, columns, seed, cores
        self._made: dict[int, dict[int, Array]] = {}

    def learned_from(self, number: int, fold: int) -> Array:
        """Return a trial's predictions, (n,) or (n, classes), of the rows outside of ``fold``; NaN elsewhere.

        With two folds there is nothing to learn from without both; then they are the out-of-fold predictions.
        """
        predictions = self._made[number][fold] if number in self._made else self.trials[number].oof
        return predictions if self.columns.shape.classes else predictions[:, 0]

    def fits(self, number: int) -> int:
        """Return how many fits the predictions of a trial still take."""
        return 0 if number in self._made else len(self._pairs())

    def prepare(self, number: int, until: float | None = None) -> None:
        """Make the predictions of a trial, if they are not there.

        Raises
        ------
        OutOfTimeError
            At ``until``, a moment of ``time.time``.
        ArithmeticError
            If a prediction is not finite.
        """
        pairs, columns = self._pairs(), self.columns
        if number in self._made or not pairs:
            return
        made = {fold: np.full((len(columns.y), columns.shape.outputs), np.nan) for fold in columns.folds}

        def one(pair: tuple[int, int]) -> list[tuple[int, NDArray[np.bool_], Array]]:
            hidden, asked = pair
            return self._without(self.trials[number], hidden, asked, until)

        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(max_workers=max(1, self.cores)) as pool:
            for parts in pool.map(one, pairs):
                for fold, rows, y_pred in parts:
                    made[fold][rows] = y_pred
        held = columns.held_out
        if not all(np.isfinite(y_pred[held & (columns.fold != fold)]).all() for fold, y_pred in made.items()):
            raise ArithmeticError(f"the predictions of {self.trials[number].name} without two folds are not finite")
        self._made[number] = made

    def _pairs(self) -> list[tuple[int, int]]:
        """Return the folds to hide and to ask: either way round, unless folds have columns of their own."""
        folds = self.columns.folds
        if len(folds) < 3:
            return []
        return [(a, b) for a in folds for b in folds if (a != b if self.columns.views else a < b)]

    def _without(
        self, trial: Candidate, hidden: int, asked: int, until: float | None
    ) -> list[tuple[int, NDArray[np.bool_], Array]]:
        """Fit without two folds; return the predictions of one, made without the other."""
        columns = self.columns
        train, valid, shape = columns.sides(hidden)
        others = columns.fold != hidden
        learn = columns.fold[others] != asked
        rows = type(train)(*(values[learn] for values in train))
        node = fit_parts(
            trial, trial.params, rows, None, [], [], shape, seed=self.seed, threads=1, limit=Limit(hard=until)
        ).node(None, {}, shape.classes)
        width = columns.shape.outputs
        found = [(hidden, columns.fold == asked, node.predict(train.X[~learn]).reshape(-1, width))]
        if not columns.views:
            found.append((asked, columns.fold == hidden, node.predict(valid.X).reshape(-1, width)))
        return found
