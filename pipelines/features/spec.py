"""What becomes a feature."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.spec import Spec


class FeatureSpec(Spec):
    """How clean columns become numbers."""

    max_categories: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Most categories of a column with a code of their own; the most frequent ones have it."""
    rare_count: Annotated[int, Field(ge=1)] = 5
    """Categories in fewer training rows than this share one code with unseen ones."""
    drop_unique_text: bool = True
    """Leave out category columns where nearly every row has its own text, such as identifiers."""
    unique_share: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Share of distinct texts among the non-missing from which a column counts as unique text."""
    date_parts: tuple[Literal["year", "month", "day", "weekday", "day_of_year", "hour", "elapsed_days"], ...] = (
        "year", "month", "day", "weekday", "day_of_year", "hour", "elapsed_days",
    )  # fmt: skip
    """Parts of a date that become features; the hour only where times of day occur."""
