"""How good clusters or projections are, without labels.

``points`` is (n, d) the rows as the family saw them (its member's ``design``), ``labels`` (n,) the cluster of each, -1
for noise. The metrics that judge are a ratio of two sums over rows, so that rows can be weighted and resampled:
:func:`row_terms` returns numerator and denominator of each row, :func:`ratio` the metric. They never compare what fits
of other rows call their clusters or components: each fit is judged in its own design matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics.blocks import sums_by_block

Array = NDArray[np.float64]
MAX_ROWS = 2_000
"""Rows that the silhouette looks at, thinned by a fixed step: every distance between two of them is needed."""


class PredictsRows(Protocol):
    """A member of an ensemble."""

    def predict(self, X: Array) -> Array:
        """Predict rows, (n, p)."""


class Unsupervised(PredictsRows, Protocol):
    """What a member for a task without target has besides its prediction."""

    def design(self, X: Array) -> Array:
        """Return the rows as numbers on one scale, (n, d)."""

    def restore(self, answer: Array) -> Array:
        """Return the points that a prediction describes, (n, d)."""


class Seen(NamedTuple):
    """A member's rows: ``points`` (n, d), its ``answer`` (n,) or (n, k), and for coordinates what they ``restore``."""

    points: Array
    answer: Array
    restored: Array | None = None


def seen_by(member: PredictsRows, X: Array, answer: Array | None = None) -> Seen:
    """Return rows (n, p) as a member sees them, with its answer."""
    own, answer = cast(Unsupervised, member), member.predict(X) if answer is None else answer
    return Seen(own.design(X), answer, own.restore(answer) if answer.ndim == 2 else None)


def row_terms(metric: str, seen: Seen, weight: Array | None = None) -> Array:
    """Return numerator and denominator of each row that is looked at, (m, 2); m depends on n alone.

    ``silhouette``: the row's silhouette, and 1. ``explained_variance``: how much of the squared distance to the mean
    is restored, and that distance. ``variance_gain``: the same, less what as many columns drawn at random hold on
    average, k / d of it, where d counts the columns that vary. The last grows with every component, and so chooses the
    most; the gain is largest at the knee of that curve, where further components add less than a column of their own
    (Satopää et al.: Finding a "kneedle" in a haystack, ICDCSW 2011).
    """
    weight = np.ones(len(seen.points)) if weight is None else weight
    if metric == "silhouette":
        values, chosen = silhouettes(seen.points, seen.answer)
        return np.column_stack([values, np.ones(len(values))]) * weight[chosen, None]
    assert seen.restored is not None
    spread = ((seen.points - seen.points.mean(axis=0)) ** 2).sum(axis=1)
    kept = spread - ((seen.points - seen.restored) ** 2).sum(axis=1)
    if metric == "variance_gain":
        varying = int((np.ptp(seen.points, axis=0) > 0).sum()) if len(seen.points) else 0
        kept = kept - spread * min(1.0, seen.answer.shape[1] / max(1, varying))
    return np.column_stack([kept, spread]) * weight[:, None]


def ratio(terms: Array) -> float:
    """Return the metric of rows' terms; 0 where the denominators sum to nothing, for nothing is told apart there."""
    above, below = terms.sum(axis=0)
    return float(above / below) if below > 0 else 0.0


def looked_at(rows: int) -> NDArray[np.intp]:
    """Return which of so many rows the silhouette looks at."""
    return np.arange(0, rows, -(-rows // MAX_ROWS) or 1)


def silhouettes(points: Array, labels: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return (b - a) / max(a, b) of each row looked at, and which these are.

    a is the mean distance to the row's own cluster, b to the next one. 0 for a row alone in its cluster, for noise,
    and for all rows where there are fewer than two clusters: so a few dense rows among much noise are no good answer.

    Notes
    -----
    Rousseeuw, Journal of Computational and Applied Mathematics 20 (1987), 53-65.
    """
    chosen = looked_at(len(points))
    found = np.zeros(len(chosen))
    inside = np.flatnonzero(labels[chosen] >= 0)
    points, labels = points[chosen[inside]], labels[chosen[inside]]
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2:
        return found, chosen
    lengths = np.einsum("nd,nd->n", points, points)
    apart = np.sqrt(np.maximum(lengths[:, None] + lengths - 2.0 * (points @ points.T), 0.0))
    sums = np.column_stack([apart[:, place == number].sum(axis=1) for number in range(len(names))])
    rows = np.arange(len(points))
    own = sums[rows, place] / np.maximum(counts[place] - 1, 1)
    sums[rows, place] = np.inf
    other = (sums / counts).min(axis=1)
    value = np.where(counts[place] > 1, (other - own) / np.maximum(np.maximum(own, other), 1e-300), 0.0)
    found[inside] = value
    return found, chosen


@dataclass(frozen=True)
class TermRows:
    """The terms of one model's rows, (m, 2), summed under many weights."""

    terms: Array

    def score(self, weights: Array) -> Array:
        """Return the metric, (draws,), under each row of ``weights``, (draws, m)."""
        return _ratios(weights @ self.terms)

    def by_block(self, block: NDArray[np.intp], blocks: int) -> Callable[[Array], Array]:
        """Return the metric as a function of how often each block was drawn, (draws, blocks).

        Parameters
        ----------
        block
            (n,) of all rows, also where the terms are those of some.
        """
        if len(block) > len(self.terms):
            block = block[looked_at(len(block))]
        sums = sums_by_block(block, blocks) @ self.terms
        return lambda drawn: _ratios(drawn @ sums)


def _ratios(sums: Array) -> Array:
    return np.asarray(np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0))


@dataclass(frozen=True)
class RatioOfSums:
    """A metric of :func:`row_terms`; ``y_true`` is not read."""

    metric: str

    def score(self, y_true: Any, y_pred: Seen, sample_weight: Array) -> float:
        """Return the metric."""
        return ratio(row_terms(self.metric, y_pred, sample_weight))

    def resampled(self, y_true: Any, y_pred: Seen) -> TermRows:
        """Return the rows' terms."""
        return TermRows(row_terms(self.metric, y_pred))


SILHOUETTE, EXPLAINED_VARIANCE = RatioOfSums("silhouette"), RatioOfSums("explained_variance")
VARIANCE_GAIN = RatioOfSums("variance_gain")


def davies_bouldin(points: Array, labels: Array) -> float:
    """Return the mean over clusters of the worst (s_i + s_j) / d_ij: spreads about two centres over their distance.

    Davies, Bouldin, IEEE Transactions on Pattern Analysis and Machine Intelligence 1 (1979), 224-227. Smaller is
    better; NaN with fewer than two clusters. Noise is left out, which flatters: it is reported and judges nothing.
    """
    names = np.unique(labels[labels >= 0])
    if len(names) < 2:
        return float("nan")
    parts = [points[labels == name] for name in names]
    centers = np.array([part.mean(axis=0) for part in parts])
    spreads = np.array(
        [np.sqrt(((part - center) ** 2).sum(axis=1)).mean() for part, center in zip(parts, centers, strict=True)]
    )
    apart = np.sqrt(((centers[:, None] - centers) ** 2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    return float(((spreads[:, None] + spreads) / np.maximum(apart, 1e-300)).max(axis=1).mean())


def all_scores(seen: Seen) -> dict[str, Any]:
    """Return every metric of a member's answers; None where one is not defined."""
    if seen.restored is not None:
        return {metric: ratio(row_terms(metric, seen)) for metric in ("explained_variance", "variance_gain")}
    compact = davies_bouldin(seen.points, seen.answer)
    return {
        "silhouette": ratio(row_terms("silhouette", seen)),
        "davies_bouldin": compact if np.isfinite(compact) else None,
    }


def told(seen: Seen) -> str:
    """Say in words what was found: how many clusters and how much noise, or how many components."""
    if seen.restored is not None:
        return f"{seen.answer.shape[1]} components in place of {seen.points.shape[1]} numbers"
    clusters, noise = len(np.unique(seen.answer[seen.answer >= 0])), float(np.mean(seen.answer < 0))
    return f"{clusters} clusters" + (f", {noise:.1%} of the rows in none" if noise else "")
