"""Into how many folds the training rows are split."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.spec import Spec


class SplitSpec(Spec):
    """How training rows are divided for cross-validation."""

    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Number of folds; fewer are made where there are fewer keys or days."""
