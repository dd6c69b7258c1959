"""Mutual information of a feature and the target, on binned values, and its level by chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from pipelines.inference.operations.base import Numbers

BINS = 16
"""Quantile bins of a number; of a code, this many times four of the most frequent codes have their own."""
CHANCE = 0.001
"""Share of uninformative features that exceed the chance level."""


class Information(NamedTuple):
    """``nats`` of bias-corrected mutual information; ``chance`` is a level that independent columns seldom exceed."""

    nats: float
    chance: float


def binned(values: Numbers, *, code: bool = False) -> npt.NDArray[np.intp]:
    """Return the (n,) bin of every value; missing has its own bin, and so has each value of a discrete column."""
    missing = np.isnan(values)
    given = values[~missing]
    bins = np.zeros(len(values), dtype=np.intp)
    if not len(given):
        return bins
    distinct, inverse, counts = np.unique(given, return_inverse=True, return_counts=True)
    most = 4 * BINS if code else BINS
    if len(distinct) <= most:
        bins[~missing] = inverse + 1
    elif code:
        rank = np.empty(len(distinct), dtype=np.intp)
        rank[np.lexsort((distinct, -counts))] = np.arange(len(distinct))
        bins[~missing] = np.minimum(rank, most)[inverse] + 1
    else:
        borders = np.unique(np.quantile(given, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
        bins[~missing] = np.searchsorted(borders, given, side="left") + 1
    return bins


def information(a: npt.NDArray[np.intp], b: npt.NDArray[np.intp], weight: Numbers) -> Information:
    """Return the mutual information of two binned columns of (n,) rows.

    Notes
    -----
    Plug-in estimate less the bias of Miller and Madow (Miller, Note on the bias of information estimates, 1955). Under
    independence twice the plug-in estimate times the rows is chi-squared with (r - 1)(c - 1) degrees of freedom, the
    G-test: Sokal, Rohlf, Biometry (1995), section 17.4. With weights, Kish's effective number of rows stands for n.
    """
    if not len(a):
        return Information(0.0, 0.0)
    rows = float(weight.sum() ** 2 / (weight * weight).sum())
    width = int(b.max()) + 1
    joint = np.bincount(a * width + b, weights=weight, minlength=(int(a.max()) + 1) * width).reshape(-1, width)
    joint = joint[joint.sum(axis=1) > 0][:, joint.sum(axis=0) > 0] / weight.sum()
    expected = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    seen = joint > 0
    plain = float((joint[seen] * np.log(joint[seen] / expected[seen])).sum())
    r, c = joint.shape
    bias = (int(seen.sum()) - r - c + 1) / (2.0 * rows)
    freedom = (r - 1) * (c - 1)
    chance = float(chdtri(freedom, CHANCE)) / (2.0 * rows) if freedom else 0.0
    return Information(plain - bias, chance - bias)
