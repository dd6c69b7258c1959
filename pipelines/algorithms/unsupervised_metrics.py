"""How good clusters or projections are, without labels.

``points`` is (n, d) the rows as the family saw them (its member's ``design``), ``labels`` (n,) the cluster of each.
Noise (-1) is no cluster and is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MAX_ROWS = 2_000
"""Rows that the silhouette looks at, thinned by a fixed step: every distance between two of them is needed."""
GREATER_IS_BETTER = frozenset({"silhouette", "explained_variance"})


def silhouette(points: Array, labels: Array) -> float:
    """Give the mean over rows of (b - a) / max(a, b): a is the mean distance to its own cluster, b to the next one.

    Rousseeuw, Journal of Computational and Applied Mathematics 20 (1987), 53-65. A row alone in its cluster counts 0;
    NaN with fewer than two clusters.
    """
    kept = labels >= 0
    step = -(-int(kept.sum()) // MAX_ROWS) or 1
    points, labels = points[kept][::step], labels[kept][::step]
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2:
        return float("nan")
    lengths = np.einsum("nd,nd->n", points, points)
    apart = np.sqrt(np.maximum(lengths[:, None] + lengths - 2.0 * (points @ points.T), 0.0))
    sums = np.column_stack([apart[:, place == number].sum(axis=1) for number in range(len(names))])
    rows = np.arange(len(points))
    own = sums[rows, place] / np.maximum(counts[place] - 1, 1)
    sums[rows, place] = np.inf
    other = (sums / counts).min(axis=1)
    value = np.where(counts[place] > 1, (other - own) / np.maximum(np.maximum(own, other), 1e-300), 0.0)
    return float(value.mean())


def davies_bouldin(points: Array, labels: Array) -> float:
    """Give the mean over clusters of the worst (s_i + s_j) / d_ij: spreads about two centres over their distance.

    Davies, Bouldin, IEEE Transactions on Pattern Analysis and Machine Intelligence 1 (1979), 224-227. Smaller is
    better; NaN with fewer than two clusters.
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


def explained_variance(points: Array, coordinates: Array) -> float:
    """Give the share of the points' variance that the best linear way back from ``coordinates`` (n, k) restores."""
    centered = points - points.mean(axis=0)
    known = coordinates - coordinates.mean(axis=0)
    back, *_ = np.linalg.lstsq(known, centered, rcond=None)
    total = float((centered**2).sum())
    return 1.0 - float(((centered - known @ back) ** 2).sum()) / total if total > 0 else 1.0


METRICS: dict[str, dict[str, Callable[[Array, Array], float]]] = {
    "clustering": {"silhouette": silhouette, "davies_bouldin": davies_bouldin},
    "reduction": {"explained_variance": explained_variance},
}
