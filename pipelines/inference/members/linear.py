"""A linear or logistic model and the adapter that turns typed columns into its design matrix, in plain arrays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CACHE_NUMBERS = 65_536


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


def pack_adapters(adapters: list[ColumnAdapter]) -> NDArray[np.uint8]:
    """Return adapters as JSON text in an array, to lie in a file of arrays."""
    text = json.dumps([asdict(adapter) for adapter in adapters], sort_keys=True).encode()
    return np.frombuffer(text, dtype=np.uint8)


def unpack_adapters(packed: NDArray[np.uint8]) -> list[ColumnAdapter]:
    """Read what ``pack_adapters`` wrote."""
    return [ColumnAdapter(**fields) for fields in json.loads(packed.tobytes())]


class Design:
    """The design matrix of all adapters at once: a row costs a few calls, however many columns it has."""

    def __init__(self, adapters: list[ColumnAdapter]) -> None:
        self.width = sum(adapter.width for adapter in adapters)
        ramps: list[tuple[int, int, float, float, float, float, float]] = []
        levels: list[tuple[int, int, float]] = []
        flags: list[tuple[int, int]] = []
        at = 0
        for adapter in adapters:
            column, end = adapter.column, at + adapter.width
            if adapter.kind == "code":
                levels += [(at + offset, column, float(level)) for offset, level in enumerate(adapter.levels)]
            elif len(adapter.knots) > 2:
                steps = zip(adapter.knots[:-1], np.diff(np.asarray(adapter.knots)).tolist(), strict=True)
                ramps += [
                    (at + offset, column, low, size, 0.0, 1.0, adapter.fill) for offset, (low, size) in enumerate(steps)
                ]
            else:
                ramps.append((at, column, adapter.mean, adapter.scale, -adapter.cut, adapter.cut, adapter.fill))
            if adapter.flag:
                flags.append((end - 1, column))
            at = end
        self._ramps = _arrays(ramps, 7)
        self._levels = _arrays(levels, 3)
        self._flags = _arrays(flags, 2)

    def __call__(self, X: Array) -> Array:
        """Return (n, width) of typed columns ``X`` (n, p); made in blocks that fit the processor's cache."""
        out = np.zeros((len(X), self.width))
        size = _rows_in_cache(self.width)
        for start in range(0, len(X), size):
            self._fill(out[start : start + size], X[start : start + size])
        return out

    def _fill(self, out: Array, X: Array) -> None:
        (target, column, low, size, least, most, fill) = self._ramps
        if len(target):
            cells = X[:, column]
            missing = np.isnan(cells)
            if missing.any():
                cells = np.where(missing, fill, cells)
            out[:, target] = np.clip((cells - low) / size, least, most)
        (target, column, level) = self._levels
        if len(target):
            out[:, target] = X[:, column] == level
        (target, column) = self._flags
        if len(target):
            out[:, target] = np.isnan(X[:, column])


def _arrays(entries: list[Any], fields: int) -> list[Any]:
    """Return the fields of the entries as arrays; the first two are indices."""
    table = np.array(entries, dtype=np.float64).reshape(len(entries), fields)
    return [table[:, field].astype(np.intp) if field < 2 else table[:, field].copy() for field in range(fields)]


def design_matrix(adapters: list[ColumnAdapter], X: Array) -> Array:
    """Return the design matrix (n, sum of widths) of typed columns ``X`` (n, p)."""
    return Design(adapters)(X)


def _rows_in_cache(width: int) -> int:
    return max(16, CACHE_NUMBERS // max(1, width))


def in_chunks(X: Array, predict: Callable[[Array], Array], width: int) -> Array:
    """Return ``predict`` of rows in blocks that fit the processor's cache, ``width`` numbers to a row."""
    size = _rows_in_cache(width)
    if len(X) <= size:
        return predict(X)
    return np.concatenate([predict(X[start : start + size]) for start in range(0, len(X), size)])


def softmax(scores: Array) -> Array:
    """Return probabilities from scores (n, k)."""
    exponent = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))


def sigmoid(scores: Array) -> Array:
    """Return the logistic function without overflow."""
    exponent = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0, 1.0, exponent) / (1.0 + exponent))


def predictions_of(scores: Array, present: list[int], classes: int, span: tuple[float, float] | None = None) -> Array:
    """Turn scores (n, 1), or (n, k) for more than two classes, into numbers or probabilities of all classes.

    Parameters
    ----------
    present
        The classes that the scores are about; two share one score, that of the second against the first.
    classes
        All classes, 0 for a regression.
    span
        Range that a regression's predictions are clipped to.
    """
    if classes == 0:
        return np.asarray(np.clip(scores[:, 0], *span)) if span else scores[:, 0]
    if len(present) == 1:
        known = np.ones((len(scores), 1))
    elif len(present) == 2:
        upper = sigmoid(scores[:, 0])
        known = np.column_stack([1.0 - upper, upper])
    else:
        known = softmax(scores)
    if len(present) == classes:
        return known
    full = np.zeros((len(scores), classes))
    full[:, present] = known
    return full


class LinearMember:
    """``design @ coefficients + intercept``, through a softmax when there are classes.

    Binary models store one column of coefficients: the score of class 1 against class 0. ``present`` names the classes
    seen in training; any other has probability 0. With ``span`` a regression's predictions are clipped to it.
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
        self.design = Design(adapters)

    def predict(self, X: Array) -> Array:
        """Predict; einsum keeps a row's prediction the same whatever rows are beside it."""
        return in_chunks(X, self._predict, self.design.width)

    def _predict(self, X: Array) -> Array:
        return self.from_scores(np.einsum("nd,dk->nk", self.design(X), self.coefficients) + self.intercept)

    def from_scores(self, scores: Array) -> Array:
        """Return the predictions with these scores, (n, 1) or (n, present classes)."""
        return predictions_of(scores, self.present, self.classes, self.span)

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the coefficients and, as JSON text inside the same file, the adapter."""
        path = folder / f"{stem}.npz"
        np.savez_compressed(
            path,
            allow_pickle=False,
            coefficients=self.coefficients,
            intercept=self.intercept,
            adapter=pack_adapters(self.adapters),
        )
        spec = {"family": self.family, "file": path.name, "classes": self.classes, "present": self.present}
        return {**spec, "span": list(self.span) if self.span else None}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> LinearMember:
        """Read what ``save`` wrote."""
        with np.load(folder / spec["file"], allow_pickle=False) as stored:
            adapters = unpack_adapters(stored["adapter"])
            coefficients, intercept = stored["coefficients"], stored["intercept"]
        span = (float(spec["span"][0]), float(spec["span"][1])) if spec["span"] else None
        return cls(adapters, coefficients, intercept, list(spec["present"]), int(spec["classes"]), span)
