"""What has no target: rows put into clusters, and rows described by fewer numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.inference.members.linear import ColumnAdapter, Design, in_chunks, pack_adapters, unpack_adapters

Array = NDArray[np.float64]
NOISE = -1.0
"""Prediction for a row that belongs to no cluster."""
NO_CLUSTER = "noise"
"""What callers read instead."""


def cluster_names(labels: Array) -> list[str]:
    """Return what callers read for clusters (n,): the number as text, such as "3", or "noise".

    >>> cluster_names(np.array([3.0, -1.0]))
    ['3', 'noise']
    """
    return [NO_CLUSTER if number == NOISE else str(int(number)) for number in labels.tolist()]


def prediction_frame(output: Array, index: pd.Index[Any]) -> pd.DataFrame:
    """Return the same as a frame: ``prediction`` as text, or ``component_1`` … as numbers."""
    if output.ndim == 2:
        names = [f"component_{number}" for number in range(1, output.shape[1] + 1)]
        return pd.DataFrame(output, columns=names, index=index)
    return pd.DataFrame({"prediction": pd.array(cluster_names(output), dtype="str")}, index=index)


class ClustersMember:
    """The cluster of the nearest stored point: a centre (k-means) or a core row (DBSCAN).

    Parameters
    ----------
    points
        (m, d) points in the design matrix.
    labels
        (m,) cluster of each point.
    reach
        A row farther than this from every point is ``NOISE``; infinite for k-means.
    """

    family: ClassVar[str] = "clusters"

    def __init__(self, adapters: list[ColumnAdapter], points: Array, labels: Array, reach: float) -> None:
        self.adapters, self.points, self.labels, self.reach = adapters, points, labels, reach
        self.design = Design(adapters)
        self._lengths = np.einsum("md,md->m", points, points)

    def predict(self, X: Array) -> Array:
        """Return the cluster (n,) of each row, counted from 0."""
        return in_chunks(X, self._predict, max(1, len(self.points) // 8)) if len(X) else np.empty(0)

    def _predict(self, X: Array) -> Array:
        z = self.design(X)
        nearest = (self._lengths - 2.0 * (z @ self.points.T)).argmin(axis=1)
        away = np.sqrt(np.einsum("nd,nd->n", *[z - self.points[nearest]] * 2))
        return np.asarray(np.where(away <= self.reach, self.labels[nearest], NOISE))

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the arrays and, as JSON text inside the same file, the adapter."""
        path = folder / f"{stem}.npz"
        reach = np.array([self.reach])
        np.savez_compressed(
            path,
            allow_pickle=False,
            adapter=pack_adapters(self.adapters),
            points=self.points,
            labels=self.labels,
            reach=reach,
        )
        return {"family": self.family, "file": path.name, "clusters": len(np.unique(self.labels))}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> ClustersMember:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            adapters = unpack_adapters(stored["adapter"])
            return cls(adapters, stored["points"], stored["labels"], float(stored["reach"][0]))


class ProjectionMember:
    """Coordinates along a few directions of the design matrix.

    Parameters
    ----------
    center
        (d,) what is taken away first.
    components
        (k, d) orthogonal directions of length 1, the one of most variance first.
    """

    family: ClassVar[str] = "projection"

    def __init__(self, adapters: list[ColumnAdapter], center: Array, components: Array) -> None:
        self.adapters, self.center, self.components = adapters, center, components
        self.design = Design(adapters)

    def predict(self, X: Array) -> Array:
        """Return (n, k) coordinates."""
        return in_chunks(X, lambda rows: (self.design(rows) - self.center) @ self.components.T, self.design.width)

    def restore(self, y_pred: Array) -> Array:
        """Return the points in the design matrix (n, d) that coordinates (n, k) describe."""
        return np.asarray(y_pred @ self.components + self.center)

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the arrays and, as JSON text inside the same file, the adapter."""
        path = folder / f"{stem}.npz"
        np.savez_compressed(
            path,
            allow_pickle=False,
            adapter=pack_adapters(self.adapters),
            center=self.center,
            components=self.components,
        )
        return {"family": self.family, "file": path.name, "components": len(self.components)}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> ProjectionMember:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            return cls(unpack_adapters(stored["adapter"]), stored["center"], stored["components"])
