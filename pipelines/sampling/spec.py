"""Settings of sampling: how many rows of the source are used, and which."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec


class SampleSpec(Spec):
    """Which part of the unsealed rows is used; sealed rows pass, up to ``max_sealed``.

    Kept rows carry 1 / their probability of being kept as ``_weight``, so that weighted counts are those of the source.
    """

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the unsealed rows that is kept."""
    by: tuple[str, ...] = ()
    """Columns whose combinations are strata, such as the target; each stratum keeps at least one row."""
    by_volume: tuple[str, ...] = ()
    """Entity columns, such as a customer: entities are put into strata by how many rows they hold, few large ones
    apart from many small ones."""
    volume_strata: Annotated[int, Field(ge=2, le=20)] = 4
    """by_volume: number of strata; each holds about the same number of rows."""
    allocation: Literal["proportional", "equal"] | dict[str, Annotated[float, Field(gt=0)]] = "proportional"
    """How rows are shared among strata: their shares are kept, all get the same, or by name as in the report
    (`yes`, or `yes | Paris` with two columns): up to 1 a share of its rows, above a number of rows; strata without
    a name keep `fraction`."""
    half_life_days: Annotated[float, Field(gt=0)] | None = None
    """Prefer recent rows: a row older by this many days is half as likely to be kept. Needs the model's time."""
    max_rows: Annotated[int, Field(ge=1)] | None = None
    """Upper limit of unsealed rows; None: no limit."""
    min_rows: Annotated[int, Field(ge=0)] = 0
    """Lower limit of unsealed rows, whatever the fraction, if there are as many."""
    max_sealed: Annotated[int, Field(ge=1)] = 100_000
    """Upper limit of sealed rows; of more, this many are drawn uniformly."""
    seed: int = 0
    """Seed of the choice: the decision on a row stays the same from night to night."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.max_rows is not None and self.min_rows > self.max_rows:
            raise ValueError(f"min_rows={self.min_rows} is more than max_rows={self.max_rows}")
        if self.allocation != "proportional" and not (self.by or self.by_volume):
            raise ValueError(f"allocation={self.allocation!r} shares rows among strata; name their columns in 'by'")
        return self
