"""The covariance of areas under ROC curves of several models on the same rows, without resampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def delong(truth: Array, scores: Array) -> tuple[Array, Array]:
    """Return the areas (m,) and their covariance (m, m) of ``scores`` (m, n) on the same rows.

    DeLong, DeLong and Clarke-Pearson 1988, by mid-ranks as in Sun and Xu 2014 (IEEE Signal Processing Letters 21).

    Parameters
    ----------
    truth
        (n,); 1 is positive. At least two rows of each side.
    """
    positive = truth == 1
    m, n = int(positive.sum()), int((~positive).sum())
    ups, downs = scores[:, positive], scores[:, ~positive]
    among_all = _mid_ranks(np.concatenate([ups, downs], axis=1))
    above_of_positive = (among_all[:, :m] - _mid_ranks(ups)) / n
    above_of_negative = 1.0 - (among_all[:, m:] - _mid_ranks(downs)) / m
    areas = above_of_positive.mean(axis=1)
    covariance = np.atleast_2d(np.cov(above_of_positive)) / m + np.atleast_2d(np.cov(above_of_negative)) / n
    return areas, covariance


def _mid_ranks(scores: Array) -> Array:
    """Rank each row of (m, n) from 1 on; ties share their mean rank (SciPy's, which takes a second to import)."""
    found = np.empty(scores.shape)
    for index, row in enumerate(scores):
        _, group, count = np.unique(row, return_inverse=True, return_counts=True)
        found[index] = (np.cumsum(count) - 0.5 * (count - 1))[group]
    return found
