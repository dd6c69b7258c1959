"""How good clusters or projections are, without labels.

``points`` is (n, d) the rows as the member transforms them (its ``design``), ``labels`` (n,) the cluster of each, -1
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
"""Most rows of the silhouette, thinned by a fixed step: it needs the distance between every two of them."""


class PredictsRows(Protocol):
    """A member of an ensemble."""

    def predict(self, X: Array) -> Array:
        """Predict rows, (n, p)."""


class Unsupervised(PredictsRows, Protocol):
    """What a member for a task without target has besides its prediction."""

    def design(self, X: Array) -> Array:
        """Return the rows as numbers on one scale, (n, d)."""

    def restore(self, y_pred: Array) -> Array:
        """Return the points that a prediction describes, (n, d)."""


class MemberOutput(NamedTuple):
    """What a member makes of rows: ``points`` (n, d), ``predicted`` (n,) or (n, k), ``restored`` (n, d) or None."""

    points: Array
    predicted: Array
    restored: Array | None = None


def evaluate_member(member: PredictsRows, X: Array, y_pred: Array | None = None) -> MemberOutput:
    """Return the points and predictions of a member for rows ``X`` (n, p); ``y_pred`` saves a second prediction."""
    own, y_pred = cast(Unsupervised, member), member.predict(X) if y_pred is None else y_pred
    return MemberOutput(own.design(X), y_pred, own.restore(y_pred) if y_pred.ndim == 2 else None)


def row_terms(metric: str, output: MemberOutput, weight: Array | None = None) -> Array:
    """Return numerator and denominator of each row that is used, (m, 2); m depends on n alone.

    ``silhouette``: the row's silhouette, and 1. ``explained_variance``: how much of the squared distance to the mean
    is restored, and that distance. ``variance_gain``: the same, less what as many columns drawn at random hold on
    average, k / d of it, where d counts the columns that vary. The last grows with every component, and so chooses the
    most; the gain is largest at the knee of that curve, where further components add less than a column of their own
    (Satopää et al.: Finding a "kneedle" in a haystack, ICDCSW 2011).
    """
    weight = np.ones(len(output.points)) if weight is None else weight
    if metric == "silhouette":
        values, chosen = silhouettes(output.points, output.predicted)
        return np.column_stack([values, np.ones(len(values))]) * weight[chosen, None]
    assert output.restored is not None
    spread = ((output.points - output.points.mean(axis=0)) ** 2).sum(axis=1)
    kept = spread - ((output.points - output.restored) ** 2).sum(axis=1)
    if metric == "variance_gain":
        varying = int((np.ptp(output.points, axis=0) > 0).sum()) if len(output.points) else 0
        kept = kept - spread * min(1.0, output.predicted.shape[1] / max(1, varying))
    return np.column_stack([kept, spread]) * weight[:, None]


def ratio(terms: Array) -> float:
    """Return the metric of rows' terms; 0 where the denominators sum to nothing."""
    above, below = terms.sum(axis=0)
    return float(above / below) if below > 0 else 0.0


def silhouette_rows(rows: int) -> NDArray[np.intp]:
    """Return the indices of the rows that the silhouette uses, of ``rows`` in all."""
    return np.arange(0, rows, -(-rows // MAX_ROWS) or 1)


def silhouettes(points: Array, labels: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return (b - a) / max(a, b) of each row used, (m,), and the indices of these rows.

    a is the mean distance to the row's own cluster, b to the next one. 0 for a row alone in its cluster, for noise,
    and for all rows where there are fewer than two clusters: so a few dense rows among much noise score low.

    Notes
    -----
    Rousseeuw, Journal of Computational and Applied Mathematics 20 (1987), 53-65.
    """
    chosen = silhouette_rows(len(points))
    found = np.zeros(len(chosen))
    inside = np.flatnonzero(labels[chosen] >= 0)
    points, labels = points[chosen[inside]], labels[chosen[inside]]
    names, cluster, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2:
        return found, chosen
    lengths = np.einsum("nd,nd->n", points, points)
    apart = np.sqrt(np.maximum(lengths[:, None] + lengths - 2.0 * (points @ points.T), 0.0))
    sums = np.column_stack([apart[:, cluster == number].sum(axis=1) for number in range(len(names))])
    rows = np.arange(len(points))
    own = sums[rows, cluster] / np.maximum(counts[cluster] - 1, 1)
    sums[rows, cluster] = np.inf
    other = (sums / counts).min(axis=1)
    value = np.where(counts[cluster] > 1, (other - own) / np.maximum(np.maximum(own, other), 1e-300), 0.0)
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
            block = block[silhouette_rows(len(block))]
        sums = sums_by_block(block, blocks) @ self.terms
        return lambda drawn: _ratios(drawn @ sums)


def _ratios(sums: Array) -> Array:
    return np.asarray(np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0))


@dataclass(frozen=True)
class RatioOfSums:
    """A metric of :func:`row_terms`; ``y_true`` is not read."""

    metric: str

    def score(self, y_true: Any, y_pred: MemberOutput, sample_weight: Array) -> float:
        """Return the metric."""
        return ratio(row_terms(self.metric, y_pred, sample_weight))

    def resampled(self, y_true: Any, y_pred: MemberOutput) -> TermRows:
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


def all_scores(output: MemberOutput) -> dict[str, Any]:
    """Return every metric of a member's output; None where one is not defined."""
    if output.restored is not None:
        return {metric: ratio(row_terms(metric, output)) for metric in ("explained_variance", "variance_gain")}
    compact = davies_bouldin(output.points, output.predicted)
    return {
        "silhouette": ratio(row_terms("silhouette", output)),
        "davies_bouldin": compact if np.isfinite(compact) else None,
    }


def describe(output: MemberOutput) -> str:
    """Describe the output in words: how many clusters and how much noise, or how many components."""
    if output.restored is not None:
        return f"{output.predicted.shape[1]} components in cluster of {output.points.shape[1]} numbers"
    clusters, noise = len(np.unique(output.predicted[output.predicted >= 0])), float(np.mean(output.predicted < 0))
    return f"{clusters} clusters" + (f", {noise:.1%} of the rows in none" if noise else "")
