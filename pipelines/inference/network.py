"""A multilayer perceptron in plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.linear import (
    ColumnAdapter,
    Design,
    answer_of,
    in_chunks,
    pack_adapters,
    unpack_adapters,
)

Array = NDArray[np.float64]


class NetworkMember:
    """Layers of weights with rectifiers between them, on the design matrix.

    Parameters
    ----------
    weights, biases
        One (in, out) and one (out,) per layer; the last gives 1 score for numbers and two classes, else one per class.
    present
        The classes that the scores are about; empty for a regression.
    classes
        All classes, 0 for a regression.
    span
        What a regression's answer is cut to.
    """

    family: ClassVar[str] = "mlp"

    def __init__(
        self,
        adapters: list[ColumnAdapter],
        weights: list[Array],
        biases: list[Array],
        present: list[int],
        classes: int,
        span: tuple[float, float] | None = None,
    ) -> None:
        self.adapters, self.weights, self.biases = adapters, weights, biases
        self.present, self.classes, self.span = present, classes, span
        self.design = Design(adapters)

    def predict(self, X: Array) -> Array:
        """Predict in blocks of rows that fit the processor's cache."""
        return in_chunks(X, self._predict, self.design.width)

    def _predict(self, X: Array) -> Array:
        return answer_of(forward(self.design(X), self.weights, self.biases), self.present, self.classes, self.span)

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the arrays and, as JSON text inside the same file, the adapter."""
        path = folder / f"{stem}.npz"
        layers = {f"weights{place}": layer for place, layer in enumerate(self.weights)}
        layers |= {f"biases{place}": layer for place, layer in enumerate(self.biases)}
        np.savez_compressed(path, allow_pickle=False, adapter=pack_adapters(self.adapters), **layers)
        spec = {"family": self.family, "file": path.name, "classes": self.classes, "present": self.present}
        return {**spec, "span": list(self.span) if self.span else None, "layers": len(self.weights)}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> NetworkMember:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            adapters = unpack_adapters(stored["adapter"])
            weights, biases = (
                [stored[f"{name}{place}"] for place in range(int(spec["layers"]))] for name in ("weights", "biases")
            )
        span = (float(spec["span"][0]), float(spec["span"][1])) if spec["span"] else None
        return cls(adapters, weights, biases, list(spec["present"]), int(spec["classes"]), span)


def forward(design: Array, weights: list[Array], biases: list[Array]) -> Array:
    """Give the scores (n, k) of design rows."""
    out = design
    for layer, bias in zip(weights[:-1], biases[:-1], strict=True):
        out = np.maximum(out @ layer + bias, 0.0)
    return out @ weights[-1] + biases[-1]
