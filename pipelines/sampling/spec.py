"""How many rows of the source go on, and which shares are kept."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec


class SampleSpec(Spec):
    """Which part of the unsealed rows is used; sealed rows always are."""

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the unsealed rows that is kept."""
    by: tuple[str, ...] = ()
    """Columns whose combinations keep their shares, such as the target; empty: uniform."""
    max_rows: Annotated[int, Field(ge=1)] | None = None
    """Upper limit of unsealed rows; None: no limit."""
    min_rows: Annotated[int, Field(ge=0)] = 0
    """So many unsealed rows are kept whatever the fraction, where there are as many."""
    seed: int = 0
    """Seed of the choice: the same row stays in or out from night to night."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.max_rows is not None and self.min_rows > self.max_rows:
            raise ValueError(f"min_rows={self.min_rows} is more than max_rows={self.max_rows}")
        return self
