"""The covariance of areas under ROC curves of several models on the same rows, without resampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]


def delong(truth: Array, scores: Array) -> tuple[Array, Array]:
    """Give the areas (m,) and their covariance (m, m) of ``scores`` (m, n) on the same rows.

    DeLong, DeLong and Clarke-Pearson 1988, by mid-ranks as in Sun and Xu 2014 (IEEE Signal Processing Letters 21).

    Parameters
    ----------
    truth
        (n,); 1 is positive. At least two rows of each side.
    """
    positive = truth == 1
    m, n = int(positive.sum()), int((~positive).sum())
    ups, downs = scores[:, positive], scores[:, ~positive]
    among_all = rankdata(np.concatenate([ups, downs], axis=1), axis=1)
    above_of_positive = (among_all[:, :m] - rankdata(ups, axis=1)) / n
    above_of_negative = 1.0 - (among_all[:, m:] - rankdata(downs, axis=1)) / m
    areas = above_of_positive.mean(axis=1)
    covariance = np.atleast_2d(np.cov(above_of_positive)) / m + np.atleast_2d(np.cov(above_of_negative)) / n
    return areas, covariance
