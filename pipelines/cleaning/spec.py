"""How raw rows become clean ones, and how many bad ones a night stands."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec


class CleanSpec(Spec):
    """What counts as missing, of which kind each column is, and which rows are held back."""

    missing: tuple[str, ...] = ()
    """Further texts that mean missing, in every column; compared stripped and without case."""
    kinds: dict[str, Literal["number", "category", "date", "dropped"]] = Field(default_factory=dict)
    """Kind of a column where the one learned from the data is not the right one."""
    dates: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """strptime formats of date columns, tried in order; ISO 8601 is always read. Naive times are UTC."""
    require: tuple[str, ...] = ()
    """Columns that must have a value; rows without one are left out and counted as filtered."""
    numeric_share: Annotated[float, Field(gt=0.5, le=1)] = 0.95
    """Least share of a text column's non-missing values that must be numbers for it to be a number column."""
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Largest share of rows in quarantine that a night stands."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for column in self.dates:
            if self.kinds.get(column, "date") != "date":
                raise ValueError(f"column {column!r} has formats in 'dates' but is {self.kinds[column]} in 'kinds'")
        return self

    def formats(self, column: str) -> tuple[str, ...]:
        """Give the declared formats of a column."""
        declared = self.dates.get(column, ())
        return (declared,) if isinstance(declared, str) else declared
