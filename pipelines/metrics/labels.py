"""Metrics of predicted labels: they come from a confusion matrix, whatever the rows are weighted with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics.blocks import sums_by_block

Array = NDArray[np.float64]


def confusion(y_true: Array, y_pred: Array, sample_weight: Array) -> Array:
    """Return the weight of each pair (true, predicted) of classes; the last class is the one that no model knows."""
    cells = confusion_cells(y_true, y_pred)
    size = y_pred.shape[1] + 1
    return np.asarray(np.bincount(cells, sample_weight, minlength=size * size), dtype=np.float64).reshape(size, size)


def confusion_cells(y_true: Array, y_pred: Array) -> NDArray[np.intp]:
    """Return the cell of each row in the flattened confusion matrix, (n,)."""
    size = y_pred.shape[1] + 1
    true = np.where(y_true < 0, size - 1, y_true).astype(np.intp)
    return np.asarray(true * size + y_pred.argmax(axis=1))


def at_threshold(y_pred: Array, threshold: float | None) -> Array:
    """Bend probabilities of two classes so that class 1 is the larger from ``threshold`` on; their order stays."""
    if threshold is None or y_pred.ndim != 2 or y_pred.shape[1] != 2:
        return y_pred
    p = y_pred[:, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        bent = np.where(p >= threshold, 0.5 + 0.5 * (p - threshold) / (1.0 - threshold), 0.5 * p / threshold)
    bent = np.where(p >= threshold, np.clip(np.nan_to_num(bent, nan=1.0), np.nextafter(0.5, 1.0), 1.0), bent)
    return np.column_stack([1.0 - bent, bent])


def _sides(counts: Array) -> tuple[Array, Array, Array]:
    """Return, (…, k) by class, the rows that are right, that have the label, and that are predicted to have it."""
    return np.einsum("...ii->...i", counts), counts.sum(axis=-1), counts.sum(axis=-2)


def accuracy(counts: Array) -> Array:
    """Return the share of rows that are right, of confusion matrices (…, k, k), as all functions below."""
    hit, true, _ = _sides(counts)
    return np.asarray(hit.sum(axis=-1) / true.sum(axis=-1))


def balanced_accuracy(counts: Array) -> Array:
    """Return the mean recall over the classes that the rows have."""
    hit, true, _ = _sides(counts)
    return np.asarray(np.nanmean(np.where(true > 0, hit / true, np.nan), axis=-1))


def mcc(counts: Array) -> Array:
    """Return Matthews' correlation of several classes (Gorodkin 2004); 0 where it is not defined."""
    hit, true, predicted = _sides(counts)
    total = true.sum(axis=-1)
    above = hit.sum(axis=-1) * total - (true * predicted).sum(axis=-1)
    below = np.sqrt((total**2 - (predicted**2).sum(axis=-1)) * (total**2 - (true**2).sum(axis=-1)))
    return np.asarray(np.where(below > 0, above / below, 0.0))


def f1(counts: Array) -> Array:
    """Return F1 of class 1; 0 where no row has or gets it."""
    return np.asarray(np.nan_to_num(_f1_by_class(counts)[..., 1]))


def macro_f1(counts: Array) -> Array:
    """Return the mean F1 over the classes that rows or predictions have."""
    return np.asarray(np.nanmean(_f1_by_class(counts), axis=-1))


def _f1_by_class(counts: Array) -> Array:
    hit, true, predicted = _sides(counts)
    return np.where(true + predicted > 0, 2.0 * hit / (true + predicted), np.nan)


class LabelledRows:
    """The cells of one model's rows in the confusion matrix, to be counted under many weights."""

    def __init__(self, of_counts: Callable[[Array], Array], y_true: Array, y_pred: Array) -> None:
        from scipy import sparse

        self.of_counts, self.size = of_counts, y_pred.shape[1] + 1
        cells = confusion_cells(y_true, y_pred)
        ones = np.ones(len(cells)), (np.arange(len(cells)), cells)
        self.cells = sparse.csr_array(ones, shape=(len(cells), self.size**2))

    def score(self, weights: Array) -> Array:
        """Return the metric, (m,), under each row of ``weights``, (m, n)."""
        return self._of(self.cells, weights)

    def by_block(self, block: NDArray[np.intp], blocks: int) -> Callable[[Array], Array]:
        """Return the metric as a function of how often each block was drawn, (m, blocks)."""
        cells = sums_by_block(block, blocks) @ self.cells
        return lambda drawn: self._of(cells, drawn)

    @np.errstate(invalid="ignore", divide="ignore")
    def _of(self, cells: object, weights: Array) -> Array:
        counts = np.asarray((cells.T @ weights.T).T)  # type: ignore[attr-defined]  # a sparse matrix, scipy has no types
        return self.of_counts(counts.reshape(-1, self.size, self.size))


@dataclass(frozen=True)
class OfLabels:
    """A metric as a function of confusion matrices."""

    of_counts: Callable[[Array], Array]

    @np.errstate(invalid="ignore", divide="ignore")
    def score(self, y_true: Array, y_pred: Array, sample_weight: Array) -> float:
        """Return the metric of the most probable classes."""
        return float(self.of_counts(confusion(y_true, y_pred, sample_weight)))

    def resampled(self, y_true: Array, y_pred: Array) -> LabelledRows:
        """Return the rows' cells."""
        return LabelledRows(self.of_counts, y_true, y_pred)


ACCURACY, BALANCED_ACCURACY, MCC = OfLabels(accuracy), OfLabels(balanced_accuracy), OfLabels(mcc)
F1, MACRO_F1 = OfLabels(f1), OfLabels(macro_f1)
