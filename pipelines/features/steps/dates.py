"""Steps on dates."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipelines.features.steps.base import OfColumns

DatePart = Literal["year", "month", "day", "weekday", "day_of_year", "hour", "elapsed_days"]
Cycle = Literal["month", "day", "weekday", "day_of_year", "hour"]


class DateParts(OfColumns):
    """Calendar parts of a date as numbers ``<column>.<part>``; weekday 0 is Monday."""

    kind: Literal["date_parts"] = "date_parts"
    consumes: ClassVar[bool] = True
    parts: Annotated[tuple[DatePart, ...], Field(min_length=1)] = ("year", "month", "day", "weekday", "hour")
    """Which parts, in order; elapsed_days counts from the first day seen in training."""


class Cycles(OfColumns):
    """Sine and cosine of a date in a cycle, ``<column>.<cycle>_sin`` and ``…_cos``: 23 h lies beside 0 h."""

    kind: Literal["cycles"] = "cycles"
    consumes: ClassVar[bool] = True
    cycles: Annotated[tuple[Cycle, ...], Field(min_length=1)] = ("month", "weekday", "hour")
    """month: 12 a year; day: 31 a month; weekday: 7; day_of_year: 366; hour: 24 a day."""


class Age(OfColumns):
    """Days (a fraction counts) from each date to another date of the row, as ``<column>.age``."""

    kind: Literal["age"] = "age"
    until: str | None = None
    """The later date column; None: the model's time column."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (*super().names, *([self.until] if self.until else []))
