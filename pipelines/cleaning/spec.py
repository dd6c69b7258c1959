"""Settings of cleaning: how raw rows become clean, and how many bad rows are accepted."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec


class NumberText(Spec):
    """How the numbers of a text column are written, if not as 1234.5."""

    decimal: Literal[".", ","] = "."
    """The decimal mark; a number in parentheses, or followed by a minus, is negative."""
    thousands: Literal["", ",", ".", " ", "'"] = ""
    """The mark between groups of three digits; a blank matches every kind of blank."""
    currency: bool = False
    """A currency sign may come before or after the number."""
    percent: bool = False
    """A percent sign may follow: `12 %` is 0.12."""
    suffixes: dict[str, float] = Field(default_factory=dict)
    """Trailing units and the factor of each: `{"kg": 1, "g": 0.001}`; compared without case."""
    span: bool = False
    """Times of day and spans of time, such as `07:45`, `1 day 02:03:04` and `PT1H30M`: read as seconds."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError(f"'decimal' and 'thousands' are both {self.decimal!r}")
        if self.span and (self.thousands or self.currency or self.percent or self.suffixes or self.decimal != "."):
            raise ValueError("'span' stands alone: spans of time have no other marks")
        odd = [name for name in self.suffixes if not name.strip() or name.strip()[0] in "0123456789.,+-"]
        if odd:
            raise ValueError(f"'suffixes' has units that are empty or begin like a number: {odd}")
        return self


class Unit(Spec):
    """From the unit of the source to the model's: number × factor + offset."""

    factor: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    offset: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    slip: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = None
    """Such as 1000: a number far out of the range of the training rows that lies in it once divided (else multiplied)
    by this is repaired so. None: no number is repaired."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.factor == 0:
            raise ValueError("'factor' is 0: every value would become the same")
        return self


class Outliers(Spec):
    """What is done about numbers far from all others."""

    action: Literal["clip", "drop", "hold"] = "clip"
    """clip: to the bounds, at serving too; drop: the row is left out (filtered); hold: the row is quarantined."""
    by: Literal["mad", "quantiles"] = "mad"
    """Bounds learned from the training rows: median ± k · 1.4826 · MAD, or two quantiles."""
    k: Annotated[float, Field(gt=0)] = 8.0
    """Robust standard deviations between the median and a bound."""
    quantiles: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.001, 0.999)
    """Shares of the training rows at or below the bounds."""
    low: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Lower bound, instead of the learned one; in the model's unit."""
    high: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Upper bound, instead of the learned one; in the model's unit."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.quantiles[0] >= self.quantiles[1]:
            raise ValueError(f"'quantiles' must grow, seen {self.quantiles}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"'low' {self.low} is not below 'high' {self.high}")
        return self


class CleanSpec(Spec):
    """What counts as missing, of which kind each column is, and which rows are held back."""

    missing: tuple[str, ...] = ()
    """Further texts that mean missing, in every column; compared stripped and without case."""
    missing_in: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Further texts that mean missing in one column, such as `unknown`."""
    present: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Texts that usually mean missing, such as `NA`, and are values in one column; the target too."""
    sentinels: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    """Numbers that mean missing in one column, such as 999; compared in the unit of the source."""
    kinds: dict[str, Literal["number", "category", "date", "dropped"]] = Field(default_factory=dict)
    """Kind of a column, if the one learned from the data is wrong."""
    dates: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """strptime formats of date columns, tried in order; ISO 8601 is always read. Naive times are UTC."""
    numbers: dict[str, NumberText] = Field(default_factory=dict)
    """How numbers are written in a column, if not as 1234.5; makes it a number column."""
    units: dict[str, Unit] = Field(default_factory=dict)
    """Number columns whose unit is converted."""
    repair: dict[str, tuple[Literal["case", "spaces", "dots"], ...]] = Field(default_factory=dict)
    """Category columns whose texts are repaired (`*`: all but the target): letters folded to lower case, runs of white
    space made one blank, dots cut off the end. All texts are stripped anyway."""
    aliases: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Category columns with texts to replace by others, `{"sex": {"M": "Male"}}`; compared after the repair."""
    outliers: dict[str, Outliers] = Field(default_factory=dict)
    """Number columns whose far values are clipped, or lead to the row being dropped or held."""
    rules: dict[str, str] = Field(default_factory=dict)
    """Name → expression that must not be false, such as `0 <= age <= 120`; a row that breaks it is quarantined.
    Rules see clean values, before any clip; a rule about a missing value holds."""
    allowed: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """The only allowed texts of a column, also the target; rows with another are quarantined. Missing is allowed."""
    filters: tuple[str, ...] = ()
    """Expressions such as `amount > 0`; rows for which one is false are left out and counted as filtered."""
    require: tuple[str, ...] = ()
    """Columns that must have a value; rows without one are left out and counted as filtered."""
    exact_duplicates: Literal["count", "drop"] = "count"
    """Models without a key: count rows that equal another in every column, or drop all but one of them."""
    merge: Literal["newest", "fill"] = "newest"
    """Several rows of one key: keep the newest as it is, or fill its missing cells from the older ones."""
    numeric_share: Annotated[float, Field(gt=0.5, le=1)] = 0.95
    """Share of a text column's non-missing values that must be numbers for it to be a number column."""
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Largest share of rows in quarantine; more stop the night."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        faults = []
        for field, kind in (("dates", "date"), ("numbers", "number"), ("units", "number"), ("outliers", "number")):
            for column in getattr(self, field):
                if self.kinds.get(column, kind) != kind:
                    what = "has formats in 'dates'" if field == "dates" else f"stands in {field!r}"
                    faults.append(f"column {column!r} {what} but is {self.kinds[column]} in 'kinds'")
                elif field != "dates" and column in self.dates:
                    faults.append(f"column {column!r} stands in {field!r} but has formats in 'dates'")
        faults += [
            f"a sentinel of column {name!r} is no finite number"
            for name, values in self.sentinels.items()
            if not all(map(math.isfinite, values))
        ]
        faults += [f"'aliases' of column {name!r} is empty" for name, texts in self.aliases.items() if not texts]
        faults += [f"rule {name!r} has no name" for name in self.rules if not name.strip()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def formats(self, column: str) -> tuple[str, ...]:
        """Return the declared formats of a column."""
        declared = self.dates.get(column, ())
        return (declared,) if isinstance(declared, str) else declared
