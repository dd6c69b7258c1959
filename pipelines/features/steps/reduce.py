"""Steps that reduce many features to few."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipelines.features.steps.base import Columns, Step


class _Reduction(Step):
    last: ClassVar[bool] = True
    columns: Columns | None = None
    """Number features to reduce; None: all."""
    components: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Most components; fewer if there are fewer features."""
    keep: bool = False
    """Keep the reduced features beside the components."""


class Pca(_Reduction):
    """Principal components of number features, ``pca1`` …; missing numbers count as the mean."""

    kind: Literal["pca"] = "pca"
    standardise: bool = True
    """Scale every feature to the same variance first."""


class TruncatedSvd(_Reduction):
    """Singular vectors of number features, not centred, ``svd1`` …; missing numbers count as the mean."""

    kind: Literal["svd"] = "svd"
    standardise: bool = False
    """Divide every feature by its standard deviation first."""
