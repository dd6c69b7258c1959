"""Whether a score is worse than it was: by more than is accepted, and beyond chance."""

from __future__ import annotations

from math import isfinite

import numpy as np
import numpy.typing as npt

from pipelines.metrics import METRICS

Array = npt.NDArray[np.float64]

SURE, BEYOND_DOUBT = 3.0, 6.0
"""Standard errors."""
GROSS = 3.0
"""A loss of so many times the accepted one shows in one window."""
SHARE, POINTS = 0.05, 0.02
RESAMPLES = 100
BLOCK = 10
"""Consecutive rows that are resampled together."""


def accepted(metric: str, score: float, limit: float | None) -> float:
    """Return the loss that is accepted, in the metric."""
    if limit is not None:
        return limit
    return POINTS if METRICS[metric].greater_is_better and 0.0 <= score <= 1.0 else SHARE * abs(score)


def shown(kind: str, loss: float, limit: float, error: float) -> dict[str, bool]:
    """Return ``{kind: whether it is gross}`` if the loss is more than accepted and sure, else nothing."""
    if not (isfinite(loss) and isfinite(error)) or loss <= limit or loss <= SURE * error:
        return {}
    return {kind: loss > GROSS * limit and loss > BEYOND_DOUBT * error}


def loss_of(metric: str, now: float, then: float) -> float:
    """Return how much worse a score is than it was."""
    return METRICS[metric].sign * (then - now)


def resampled_scores(metric: str, y_true: Array, used: Array) -> Array:
    """Return the score under draws of blocks of consecutive rows, (RESAMPLES,); the same draws for as many rows."""
    blocks = max(1, len(y_true) // BLOCK)
    block = np.minimum(np.arange(len(y_true)) // BLOCK, blocks - 1)
    drawn = np.random.default_rng(0).multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
    return np.asarray(METRICS[metric].resampled(y_true, used).by_block(block, blocks)(drawn.astype(np.float64)))
