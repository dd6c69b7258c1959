"""Numbers to numbers, and to the codes of intervals."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan
from typing import Any, ClassVar

import numpy as np

from pipelines.inference.operations.base import MISSING_CODE, Numbers, Operation, RowFunction, register


@register
@dataclass(frozen=True)
class Fill(Operation):
    """Replace NaN by ``value``; a second output, if there is one, is 1 where it was NaN and else 0."""

    kind: ClassVar[str] = "fill"
    value: float

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        values = columns[self.inputs[0]]
        missing = np.isnan(values)
        return [np.where(missing, self.value, values), missing.astype(np.float64)][: len(self.outputs)]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, value, flagged = self.inputs[0], float(self.value), len(self.outputs) == 2

        def one(row: Mapping[str, Any]) -> tuple[float, ...]:
            x = row[name]
            filled = value if x != x else x
            return (filled, 1.0 if x != x else 0.0) if flagged else (filled,)

        return one


@register
@dataclass(frozen=True)
class Scale(Operation):
    """Return ``(x - shift) / scale``; NaN where that is not finite."""

    kind: ClassVar[str] = "scale"
    shift: float
    scale: float

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        with np.errstate(over="ignore", invalid="ignore"):
            return [finite((columns[self.inputs[0]] - self.shift) / self.scale)]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, shift, scale = self.inputs[0], float(self.shift), float(self.scale)

        def one(row: Mapping[str, Any]) -> tuple[float]:
            value = (row[name] - shift) / scale
            return (value if -inf < value < inf else nan,)

        return one


@register
@dataclass(frozen=True)
class Clip(Operation):
    """Pull numbers beyond the limits to them; None is no limit."""

    kind: ClassVar[str] = "clip"
    low: float | None
    high: float | None

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        low, high = self._limits()
        return [np.clip(columns[self.inputs[0]], low, high)]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, (low, high) = self.inputs[0], self._limits()

        def one(row: Mapping[str, Any]) -> tuple[float]:
            x = row[name]
            return (low if x < low else high if x > high else x,)

        return one

    def _limits(self) -> tuple[float, float]:
        return -inf if self.low is None else float(self.low), inf if self.high is None else float(self.high)


@register
@dataclass(frozen=True)
class Curve(Operation):
    """Interpolate linearly between the points (``x``, ``y``), ``x`` growing; beyond them the last ``y`` holds."""

    kind: ClassVar[str] = "curve"
    x: tuple[float, ...]
    y: tuple[float, ...]

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        return [np.interp(columns[self.inputs[0]], np.asarray(self.x), np.asarray(self.y))]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, x, y = self.inputs[0], np.asarray(self.x), np.asarray(self.y)
        return lambda row: (float(np.interp(row[name], x, y)),)


@register
@dataclass(frozen=True)
class Power(Operation):
    """Yeo-Johnson with ``exponent`` (their lambda), then ``(x - shift) / scale``.

    Source: Yeo and Johnson, A new family of power transformations, Biometrika 87 (2000), equation 2.1.
    """

    kind: ClassVar[str] = "power"
    exponent: float
    shift: float
    scale: float

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        with np.errstate(over="ignore", invalid="ignore"):
            return [finite((yeo_johnson(columns[self.inputs[0]], self.exponent) - self.shift) / self.scale)]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name = self.inputs[0]  # through an array: a scalar's logarithm may differ in the last bit
        return lambda row: (float(self.apply({name: np.array([row[name]], dtype=np.float64)}, 1)[0][0]),)


@register
@dataclass(frozen=True)
class Bin(Operation):
    """Return the number of ``borders`` at or below a number, as a code; -1 for NaN."""

    kind: ClassVar[str] = "bin"
    borders: tuple[float, ...]

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        values = columns[self.inputs[0]]
        bins = np.searchsorted(np.asarray(self.borders, dtype=np.float64), values, side="right")
        return [np.where(np.isnan(values), MISSING_CODE, bins.astype(np.float64))]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, borders = self.inputs[0], tuple(float(border) for border in self.borders)

        def one(row: Mapping[str, Any]) -> tuple[float]:
            x = row[name]
            return (MISSING_CODE if x != x else float(bisect_right(borders, x)),)

        return one


@register
@dataclass(frozen=True)
class Copy(Operation):
    """Return a column under another name."""

    kind: ClassVar[str] = "copy"

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        return [columns[self.inputs[0]]]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name = self.inputs[0]
        return lambda row: (row[name],)


def finite(values: Numbers) -> Numbers:
    """Return NaN for infinities."""
    return values if np.isfinite(values).all() else np.where(np.isfinite(values), values, np.nan)


def yeo_johnson(values: Numbers, exponent: float) -> Numbers:
    """Return the Yeo-Johnson transform of (n,) numbers; NaN stays."""
    size = np.log1p(np.abs(values))
    up = size if exponent == 0 else np.expm1(exponent * size) / exponent
    rest = 2.0 - exponent
    down = size if rest == 0 else np.expm1(rest * size) / rest
    return np.where(values >= 0, up, -down)
