"""Metrics that come from a mean over rows: of a loss of each row, of its root, or compared with the target's spread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics.blocks import sums_by_block

Array = NDArray[np.float64]

FLOOR = 1e-7
"""Smallest probability that the log loss sees: one surprise costs 16, not infinity."""


def row_log_loss(y_true: Array, y_pred: Array) -> Array:
    """Return -log of each row's probability of its own class; a class the model does not know has probability 0."""
    index = y_true.astype(np.intp)
    known = (index >= 0) & (index < y_pred.shape[1])
    own = np.where(known, y_pred[np.arange(len(y_pred)), np.where(known, index, 0)], 0.0)
    return np.asarray(-np.log(np.clip(own, FLOOR, 1.0)))


def row_brier(y_true: Array, y_pred: Array) -> Array:
    """Return each row's squared error: of class 1 (binary), or summed over the classes (Brier 1950)."""
    if y_pred.shape[1] == 2:
        return np.asarray((y_pred[:, 1] - (y_true == 1)) ** 2)
    return np.asarray(((y_pred - (y_true[:, None] == np.arange(y_pred.shape[1]))) ** 2).sum(axis=1))


def row_square(y_true: Array, y_pred: Array) -> Array:
    """Return each row's squared error."""
    return np.asarray((y_true - y_pred) ** 2)


def row_distance(y_true: Array, y_pred: Array) -> Array:
    """Return each row's absolute error."""
    return np.abs(y_true - y_pred)


def row_percentage(y_true: Array, y_pred: Array) -> Array:
    """Return each row's relative error; NaN where the target is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(y_true != 0, np.abs((y_true - y_pred) / y_true), np.nan)


def row_log_error(y_true: Array, y_pred: Array) -> Array:
    """Return each row's squared difference of log(1 + value); values below 0 count as 0."""
    return np.asarray((np.log1p(np.maximum(y_true, 0.0)) - np.log1p(np.maximum(y_pred, 0.0))) ** 2)


def row_poisson(y_true: Array, y_pred: Array) -> Array:
    """Return each row's Poisson deviance (McCullagh and Nelder 1989); predictions below ``FLOOR`` count as it."""
    mean, target = np.maximum(y_pred, FLOOR), np.maximum(y_true, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(target > 0, target * np.log(target / mean), 0.0)
    return np.asarray(2.0 * (part - target + mean))


def pinball(y_true: Array, y_pred: Array, sample_weight: Array, quantile: float) -> float:
    """Return the mean pinball loss of predictions read as a quantile, in the target's unit.

    Koenker and Bassett 1978, Econometrica 46.
    """
    error = y_true - y_pred
    return float(np.average(np.maximum(quantile * error, (quantile - 1.0) * error), weights=sample_weight))


class MeanRows:
    """The losses of one model's rows, (n,), averaged under many weights; rows without one (NaN) are left out."""

    def __init__(self, rows: Array, *, root: bool = False) -> None:
        self.rows, self.given, self.root = rows, ~np.isnan(rows), root

    def score(self, weights: Array) -> Array:
        """Return the mean, or its root, (m,), under each row of ``weights``, (m, n)."""
        mean = self.mean(weights)
        return np.sqrt(mean) if self.root else mean

    @np.errstate(invalid="ignore", divide="ignore")
    def mean(self, weights: Array) -> Array:
        """Return the mean alone."""
        weights = weights[:, self.given]
        return np.asarray(weights @ self.rows[self.given] / weights.sum(axis=1))

    def by_block(self, block: NDArray[np.intp], blocks: int) -> Callable[[Array], Array]:
        """Return the metric as a function of how often each block was drawn, (m, blocks)."""
        losses, counts = self.block_sums(block, blocks)
        power = 0.5 if self.root else 1.0

        @np.errstate(invalid="ignore", divide="ignore")
        def score(drawn: Array) -> Array:
            return np.asarray((drawn @ losses / (drawn @ counts)) ** power)

        return score

    def block_sums(self, block: NDArray[np.intp], blocks: int) -> tuple[Array, Array]:
        """Return the losses and the number of rows of each block, (blocks,)."""
        own = sums_by_block(block, blocks)
        return own @ np.where(self.given, self.rows, 0.0), own @ self.given.astype(np.float64)


class SpreadRows(MeanRows):
    """Squared errors of rows, compared with the spread of the target under the same weights: R²."""

    def __init__(self, rows: Array, y_true: Array) -> None:
        super().__init__(rows)
        self.centred = y_true - y_true.mean()

    @np.errstate(invalid="ignore", divide="ignore")
    def score(self, weights: Array) -> Array:
        """Return the share of the variance that is explained, (m,); NaN where there is none."""
        total = weights.sum(axis=1)
        spread = weights @ self.centred**2 / total - (weights @ self.centred / total) ** 2
        return np.asarray(np.where(spread > 0, 1.0 - self.mean(weights) / spread, np.nan))

    def by_block(self, block: NDArray[np.intp], blocks: int) -> Callable[[Array], Array]:
        """Return the share as a function of how often each block was drawn, (m, blocks)."""
        own, (losses, counts) = sums_by_block(block, blocks), self.block_sums(block, blocks)
        sums, squares = own @ self.centred, own @ self.centred**2

        @np.errstate(invalid="ignore", divide="ignore")
        def score(drawn: Array) -> Array:
            count = drawn @ counts
            spread = drawn @ squares / count - (drawn @ sums / count) ** 2
            return np.where(spread > 0, 1.0 - drawn @ losses / count / spread, np.nan)

        return score


@dataclass(frozen=True)
class Mean:
    """The mean of a loss of each row, or the root of it."""

    row_loss: Callable[[Array, Array], Array]
    root: bool = False

    def score(self, y_true: Array, y_pred: Array, sample_weight: Array) -> float:
        """Return the weighted mean."""
        mean = np.average(self.row_loss(y_true, y_pred), weights=sample_weight)
        return float(np.sqrt(mean) if self.root else mean)

    def resampled(self, y_true: Array, y_pred: Array) -> MeanRows:
        """Return the losses of the rows."""
        return MeanRows(np.asarray(self.row_loss(y_true, y_pred), dtype=np.float64), root=self.root)


class MeanPercentage(Mean):
    """The mean relative error over the rows whose target is not 0; NaN if there is none."""

    def score(self, y_true: Array, y_pred: Array, sample_weight: Array) -> float:
        """Return the weighted mean."""
        given = (y_true != 0) & (sample_weight > 0)
        rows = self.row_loss(y_true, y_pred)
        return float(np.average(rows[given], weights=sample_weight[given])) if given.any() else float("nan")


class Explained(Mean):
    """The share of the target's variance that is explained; NaN where there is none."""

    def score(self, y_true: Array, y_pred: Array, sample_weight: Array) -> float:
        """Return the share."""
        centre = np.average(y_true, weights=sample_weight)
        spread = float(np.average((y_true - centre) ** 2, weights=sample_weight))
        left = float(np.average(self.row_loss(y_true, y_pred), weights=sample_weight))
        return 1.0 - left / spread if spread > 0 else float("nan")

    def resampled(self, y_true: Array, y_pred: Array) -> MeanRows:
        """Return the squared errors of the rows beside the target."""
        return SpreadRows(self.row_loss(y_true, y_pred), y_true)


LOG_LOSS, BRIER = Mean(row_log_loss), Mean(row_brier)
RMSE, MAE, MAPE = Mean(row_square, root=True), Mean(row_distance), MeanPercentage(row_percentage)
R2 = Explained(row_square)
RMSLE, POISSON_DEVIANCE = Mean(row_log_error, root=True), Mean(row_poisson)
