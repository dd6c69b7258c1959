"""Steps that make one column of several."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.features.steps.base import Step


class Ratio(Step):
    """One number divided by another, ``<numerator>/<denominator>``; NaN where the denominator is 0."""

    kind: Literal["ratio"] = "ratio"
    numerator: str
    """Number column."""
    denominator: str
    """Number column."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.numerator, self.denominator)


class Difference(Step):
    """One number minus another, ``<left>-<right>``."""

    kind: Literal["difference"] = "difference"
    left: str
    """Number column."""
    right: str
    """Number column."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.left, self.right)


class Cross(Step):
    """The texts of two or three categories together, a category named ``<a>*<b>``; missing where one is missing."""

    kind: Literal["cross"] = "cross"
    columns: Annotated[tuple[str, ...], Field(min_length=2, max_length=3)]
    """Category columns, in this order."""
