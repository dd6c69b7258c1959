"""The nearest of stored rows, found by looking at all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.members.linear import ColumnAdapter, Design, in_chunks, pack_adapters, unpack_adapters

Array = NDArray[np.float64]


class NeighboursMember:
    """Weighted mean of what the nearest rows are, and of all rows as if they were one more neighbour.

    Parameters
    ----------
    scale
        (d,) what each column of the design is multiplied with before distances are taken.
    points
        (m, d) stored rows, scaled, single precision.
    values
        (m, outputs) target, or one column per class of ones and zeros.
    weights
        (m,) of the rows.
    prior
        (outputs,) prediction for all rows; counts ``smoothing`` neighbours of mean weight.
    count
        Neighbours that are used.
    power
        A neighbour at distance r counts 1 / (r / r_count)^power, r_count being the farthest's; 0: all count the same.
    """

    family: ClassVar[str] = "nearest_neighbours"

    def __init__(
        self,
        adapters: list[ColumnAdapter],
        scale: Array,
        points: NDArray[np.float32],
        values: Array,
        weights: Array,
        prior: Array,
        count: int,
        power: float,
        smoothing: float,
        classes: int,
    ) -> None:
        self.adapters, self.scale, self.points, self.values = adapters, scale, points, values
        self.weights, self.prior = weights, prior
        self.count, self.power, self.smoothing, self.classes = min(count, len(points)), power, smoothing, classes
        self.design = Design(adapters)
        self._lengths = np.einsum("md,md->m", points, points)
        self._across = np.ascontiguousarray(points.T)

    def predict(self, X: Array) -> Array:
        """Predict in blocks of rows that fit the processor's cache."""
        if not len(X):
            return np.empty((0,) if self.classes == 0 else (0, self.classes))
        return in_chunks(X, self._predict, len(self.points) // 8)

    def _predict(self, X: Array) -> Array:
        z = (self.design(X) * self.scale).astype(np.float32)
        rough = self._lengths - 2.0 * (z @ self._across)
        near = np.argpartition(rough, self.count - 1, axis=1)[:, : self.count]
        # The order and the distances again, exactly: what was subtracted above loses digits.
        gaps = np.einsum("nkd,nkd->nk", *[(self.points[near] - z[:, None, :]).astype(np.float64)] * 2)
        order = np.lexsort((near, gaps), axis=1)
        near, gaps = np.take_along_axis(near, order, axis=1), np.take_along_axis(gaps, order, axis=1)
        farthest = np.maximum(gaps[:, -1:], 1e-12)
        share = self.weights[near] / np.maximum(gaps / farthest, 1e-4) ** (0.5 * self.power)
        total = np.einsum("nk,nko->no", share, self.values[near]) + self.smoothing * self.prior
        y_pred = total / (share.sum(axis=1, keepdims=True) + self.smoothing)
        return np.asarray(y_pred[:, 0]) if self.classes == 0 else y_pred

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the arrays and, as JSON text inside the same file, the adapter."""
        path = folder / f"{stem}.npz"
        np.savez_compressed(
            path,
            allow_pickle=False,
            adapter=pack_adapters(self.adapters),
            scale=self.scale,
            points=self.points,
            values=self.values,
            weights=self.weights,
            prior=self.prior,
        )
        spec = {"family": self.family, "file": path.name, "classes": self.classes, "count": self.count}
        return {**spec, "power": self.power, "smoothing": self.smoothing}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> NeighboursMember:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        numbers: dict[str, Any] = {name: spec[name] for name in ("count", "power", "smoothing", "classes")}
        return cls(unpack_adapters(arrays.pop("adapter")), **arrays, **numbers)
