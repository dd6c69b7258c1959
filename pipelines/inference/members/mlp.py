"""Multilayer perceptrons in plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.members.linear import (
    ColumnAdapter,
    Design,
    in_chunks,
    pack_adapters,
    predictions_of,
    unpack_adapters,
)

Array = NDArray[np.float64]
Layers = tuple[list[Array], list[Array]]
"""Weights (in, out) and biases (out,) of each layer; the last gives 1 score for numbers and two classes, else one per
class."""


class NetworkMember:
    """The mean prediction of networks: layers of weights with rectifiers between them, on the design matrix.

    Parameters
    ----------
    networks
        Each has as many layers.
    present
        The classes that the scores are about; empty for a regression.
    classes
        All classes, 0 for a regression.
    span
        Range that a regression's predictions are clipped to.
    """

    family: ClassVar[str] = "mlp"

    def __init__(
        self,
        adapters: list[ColumnAdapter],
        networks: list[Layers],
        present: list[int],
        classes: int,
        span: tuple[float, float] | None = None,
    ) -> None:
        self.adapters, self.networks = adapters, networks
        self.present, self.classes, self.span = present, classes, span
        self.design = Design(adapters)

    def predict(self, X: Array) -> Array:
        """Predict in blocks of rows that fit the processor's cache."""
        return in_chunks(X, self._predict, self.design.width)

    def _predict(self, X: Array) -> Array:
        design = self.design(X)
        total = np.zeros(1)
        for network in self.networks:
            total = total + predictions_of(forward(design, *network), self.present, self.classes, self.span)
        return total / len(self.networks)

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the arrays and, as JSON text inside the same file, the adapter."""
        path = folder / f"{stem}.npz"
        arrays = {
            f"{name}{number}_{index}": layer
            for number, network in enumerate(self.networks)
            for name, layers in zip(("weights", "biases"), network, strict=True)
            for index, layer in enumerate(layers)
        }
        np.savez_compressed(path, allow_pickle=False, adapter=pack_adapters(self.adapters), **arrays)
        spec = {"family": self.family, "file": path.name, "classes": self.classes, "present": self.present}
        shape = {"networks": len(self.networks), "layers": len(self.networks[0][0])}
        return {**spec, "span": list(self.span) if self.span else None, **shape}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> NetworkMember:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            adapters = unpack_adapters(stored["adapter"])
            layers = range(int(spec["layers"]))
            networks = [
                (
                    [stored[f"weights{number}_{index}"] for index in layers],
                    [stored[f"biases{number}_{index}"] for index in layers],
                )
                for number in range(int(spec["networks"]))
            ]
        span = (float(spec["span"][0]), float(spec["span"][1])) if spec["span"] else None
        return cls(adapters, networks, list(spec["present"]), int(spec["classes"]), span)


def forward(design: Array, weights: list[Array], biases: list[Array]) -> Array:
    """Return the scores (n, k) of design rows."""
    out = design
    for layer, bias in zip(weights[:-1], biases[:-1], strict=True):
        out = np.maximum(out @ layer + bias, 0.0)
    return out @ weights[-1] + biases[-1]
