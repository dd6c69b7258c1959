"""How many rows of the source go on, and which shares are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.spec import Spec


class SampleSpec(Spec):
    """Which part of the unsealed rows is used; sealed rows always are."""

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the unsealed rows that is kept."""
    by: tuple[str, ...] = ()
    """Columns whose combinations keep their shares, such as the target; empty: uniform."""
    max_rows: Annotated[int, Field(ge=1)] | None = None
    """Upper limit of unsealed rows; None: no limit."""
    seed: int = 0
    """Seed of the choice: the same row stays in or out from night to night."""
