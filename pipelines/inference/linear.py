"""A linear or logistic model and the adapter that turns typed columns into its design matrix, in plain arrays."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class ColumnAdapter:
    """How one typed column becomes columns of the design matrix.

    A number: missing → ``fill``; then a piecewise-linear basis over ``knots`` (one column per interval, 0 below it, 1
    above it, the share passed inside it), or with fewer than two intervals ``(x - mean) / scale`` cut at ±``cut``;
    with ``flag`` one more column says that the value was missing.
    A code: one column per entry of ``levels``; every other code gives zeros.
    """

    column: int
    kind: str
    fill: float = 0.0
    mean: float = 0.0
    scale: float = 1.0
    cut: float = 8.0
    flag: bool = False
    knots: list[float] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Number of columns made."""
        if self.kind == "code":
            return len(self.levels)
        return max(1, len(self.knots) - 1) + int(self.flag)

    def write(self, values: Array, out: Array) -> None:
        """Fill ``out`` (n, width) from ``values`` (n,)."""
        if self.kind == "code":
            out[:] = values[:, None] == np.asarray(self.levels, dtype=np.float64)
            return
        missing = np.isnan(values)
        filled = np.where(missing, self.fill, values)
        if len(self.knots) > 2:
            knots = np.asarray(self.knots)
            out[:, : len(knots) - 1] = np.clip((filled[:, None] - knots[:-1]) / np.diff(knots), 0.0, 1.0)
        else:
            out[:, 0] = np.clip((filled - self.mean) / self.scale, -self.cut, self.cut)
        if self.flag:
            out[:, -1] = missing


def design_matrix(adapters: list[ColumnAdapter], X: Array) -> Array:
    """Give the design matrix (n, sum of widths) of typed columns ``X`` (n, p)."""
    out = np.zeros((len(X), sum(adapter.width for adapter in adapters)))
    start = 0
    for adapter in adapters:
        adapter.write(X[:, adapter.column], out[:, start : start + adapter.width])
        start += adapter.width
    return out


def softmax(scores: Array) -> Array:
    """Give probabilities from scores (n, k)."""
    exponent = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))


def sigmoid(scores: Array) -> Array:
    """Give the logistic function without overflow."""
    exponent = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0, 1.0, exponent) / (1.0 + exponent))


class LinearMember:
    """``design @ coefficients + intercept``, through a softmax when there are classes.

    Binary models store one column of coefficients: the score of class 1 against class 0. ``present`` names the classes
    seen in training; a class never seen has probability 0. With ``span`` a regression's answer is cut to that range.
    """

    family: ClassVar[str] = "linear"

    def __init__(
        self,
        adapters: list[ColumnAdapter],
        coefficients: Array,
        intercept: Array,
        present: list[int],
        classes: int,
        span: tuple[float, float] | None = None,
    ) -> None:
        self.adapters, self.coefficients, self.intercept = adapters, coefficients, intercept
        self.present, self.classes, self.span = present, classes, span

    def predict(self, X: Array) -> Array:
        """Predict; einsum keeps a row's answer the same whatever rows are beside it."""
        scores = np.einsum("nd,dk->nk", design_matrix(self.adapters, X), self.coefficients) + self.intercept
        if self.classes == 0:
            return np.asarray(np.clip(scores[:, 0], *self.span)) if self.span else scores[:, 0]
        if len(self.present) == 1:
            seen = np.ones((len(X), 1))
        elif len(self.present) == 2:
            upper = sigmoid(scores[:, 0])
            seen = np.column_stack([1.0 - upper, upper])
        else:
            seen = softmax(scores)
        if len(self.present) == self.classes:
            return seen
        full = np.zeros((len(X), self.classes))
        full[:, self.present] = seen
        return full

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the coefficients and, as JSON text inside the same file, the adapter."""
        path = folder / f"{stem}.npz"
        adapter = json.dumps([asdict(adapter) for adapter in self.adapters], sort_keys=True).encode()
        np.savez_compressed(
            path,
            allow_pickle=False,
            coefficients=self.coefficients,
            intercept=self.intercept,
            adapter=np.frombuffer(adapter, dtype=np.uint8),
        )
        spec = {"family": self.family, "file": path.name, "classes": self.classes, "present": self.present}
        return {**spec, "span": list(self.span) if self.span else None}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> LinearMember:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            adapters = [ColumnAdapter(**fields) for fields in json.loads(stored["adapter"].tobytes())]
            coefficients, intercept = stored["coefficients"], stored["intercept"]
        span = (float(spec["span"][0]), float(spec["span"][1])) if spec["span"] else None
        return cls(adapters, coefficients, intercept, list(spec["present"]), int(spec["classes"]), span)
