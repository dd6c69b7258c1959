"""A linear model on random Fourier features or on kernels to landmarks: an approximated kernel machine."""

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


class KernelMap:
    """Turns design rows z (n, d), scaled, into features whose products are about exp(-gamma |z - z'|²).

    Parameters
    ----------
    scale
        (d,) what each column of the design is multiplied with; sqrt(gamma) is in it.
    directions
        ``fourier``: (d, m) random directions; ``nystroem``: (m, d) landmarks, scaled.
    offsets
        ``fourier``: (m,) phases; ``nystroem``: (m,) squared lengths of the landmarks.
    """

    def __init__(self, kind: str, scale: Array, directions: Array, offsets: Array) -> None:
        self.kind, self.scale, self.directions, self.offsets = kind, scale, directions, offsets

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.offsets)

    def __call__(self, design: Array) -> Array:
        """Return (n, m) features."""
        z = design * self.scale
        if self.kind == "fourier":
            return np.asarray(np.cos(z @ self.directions + self.offsets) * np.sqrt(2.0 / self.width))
        apart = np.einsum("nd,nd->n", z, z)[:, None] + self.offsets - 2.0 * (z @ self.directions.T)
        return np.asarray(np.exp(-np.maximum(apart, 0.0)))


class SvmMember:
    """``map(design) @ coefficients + intercept``, calibrated; without a map the design itself.

    Parameters
    ----------
    coefficients, intercept
        (m, k) and (k,); k is 1 for numbers and two classes, else one per class.
    span
        Range that a regression's predictions are clipped to.
    """

    family: ClassVar[str] = "svm"

    def __init__(
        self,
        adapters: list[ColumnAdapter],
        kernel: KernelMap | None,
        coefficients: Array,
        intercept: Array,
        classes: int,
        span: tuple[float, float] | None = None,
    ) -> None:
        self.adapters, self.kernel, self.coefficients, self.intercept = adapters, kernel, coefficients, intercept
        self.classes, self.span = classes, span
        self.design = Design(adapters)

    def predict(self, X: Array) -> Array:
        """Predict in blocks of rows that fit the processor's cache."""
        return in_chunks(X, self._predict, max(self.design.width, len(self.coefficients)))

    def _predict(self, X: Array) -> Array:
        features = self.design(X)
        if self.kernel is not None:
            features = self.kernel(features)
        return predictions_of(
            features @ self.coefficients + self.intercept, list(range(self.classes)), self.classes, self.span
        )

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the arrays and, as JSON text inside the same file, the adapter."""
        path = folder / f"{stem}.npz"
        kernel = self.kernel
        arrays = (
            {}
            if kernel is None
            else {"scale": kernel.scale, "directions": kernel.directions, "offsets": kernel.offsets}
        )
        np.savez_compressed(
            path,
            allow_pickle=False,
            coefficients=self.coefficients,
            intercept=self.intercept,
            adapter=pack_adapters(self.adapters),
            **arrays,
        )
        spec = {"family": self.family, "file": path.name, "classes": self.classes}
        return {**spec, "span": list(self.span) if self.span else None, "kernel": kernel.kind if kernel else None}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> SvmMember:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        kernel = None
        if spec["kernel"]:
            kernel = KernelMap(str(spec["kernel"]), *(arrays[name] for name in ("scale", "directions", "offsets")))
        span = (float(spec["span"][0]), float(spec["span"][1])) if spec["span"] else None
        adapters = unpack_adapters(arrays["adapter"])
        return cls(adapters, kernel, arrays["coefficients"], arrays["intercept"], int(spec["classes"]), span)
