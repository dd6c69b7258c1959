"""Steps on numbers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipelines.features.steps.base import OfColumns, Share


class Impute(OfColumns):
    """Fill missing numbers."""

    kind: Literal["impute"] = "impute"
    how: Literal["median", "constant"] = "median"
    """The median of the training rows, or ``value``."""
    value: float = 0.0
    """The number that ``constant`` fills in, in the column's unit."""
    indicator: bool = False
    """Add ``<column>.missing``: 1 where the number was missing, else 0."""


class Standardise(OfColumns):
    """Subtract the mean and divide by the standard deviation (weighted by inclusion)."""

    kind: Literal["standardise"] = "standardise"


class MinMax(OfColumns):
    """Map the range seen in training to 0…1; values beyond it fall outside, unless a Clip comes before."""

    kind: Literal["min_max"] = "min_max"


class Robust(OfColumns):
    """Subtract the median and divide by the distance between two quantiles."""

    kind: Literal["robust"] = "robust"
    low: Share = 0.25
    """The lower quantile, as a share of the rows."""
    high: Share = 0.75
    """The upper quantile, as a share of the rows."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"'low' {self.low} is not below 'high' {self.high}")
        return self


class QuantileTransform(OfColumns):
    """Replace a number by its rank among the training rows, as a share or as the normal score of that share."""

    kind: Literal["quantile"] = "quantile"
    to: Literal["uniform", "normal"] = "uniform"
    """0…1, or standard normal scores (cut at ±5.2)."""
    knots: Annotated[int, Field(ge=2, le=10_000)] = 1_000
    """Number of points of the rank curve, which is linear between them."""


class Power(OfColumns):
    """Yeo-Johnson power transform, its lambda by maximum likelihood, then standardised."""

    kind: Literal["power"] = "power"


class Bin(OfColumns):
    """Replace a number by the code of its interval, as ``<column>.bin``; missing is -1."""

    kind: Literal["bin"] = "bin"
    consumes: ClassVar[bool] = True
    bins: Annotated[int, Field(ge=2, le=10_000)] = 10
    """Most intervals; equal borders are merged."""
    how: Literal["quantile", "uniform"] = "quantile"
    """Intervals with equal numbers of training rows, or of equal width."""


class Clip(OfColumns):
    """Clip numbers to two limits."""

    kind: Literal["clip"] = "clip"
    low: Share | None = 0.01
    """Lower limit as a quantile of the training rows; None: none."""
    high: Share | None = 0.99
    """Upper limit as a quantile of the training rows; None: none."""
    at_least: float | None = None
    """Lower limit in the column's unit; overrides ``low``."""
    at_most: float | None = None
    """Upper limit in the column's unit; overrides ``high``."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"'low' {self.low} is not below 'high' {self.high}")
        if self.at_least is not None and self.at_most is not None and self.at_least >= self.at_most:
            raise ValueError(f"'at_least' {self.at_least} is not below 'at_most' {self.at_most}")
        return self
