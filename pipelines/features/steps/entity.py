"""Steps on an entity's earlier values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.features.steps.base import Columns, Step

Aggregate = Literal["mean", "count", "min", "max", "sum", "std"]


class _OfEntity(Step):
    entity: Columns
    """Columns that together identify the entity of a row, such as ("dest",)."""
    delay_hours: Annotated[float, Field(ge=0)] = 24.0
    """Delay, in hours, until a row is known to later rows; 0: all strictly earlier rows are known."""
    value: str
    """Number column; of Rolling also the target."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (*self.entity, self.value)

    @property
    def stands_for(self) -> tuple[str, ...]:
        """The column of the values."""
        return (self.value,)


class Lag(_OfEntity):
    """An entity's earlier value by event time, ``<value>.lag<steps>.<entity>``; when serving, the last one known.

    The value column itself is no feature unless another step makes it one, and need not be sent by callers.
    """

    kind: Literal["lag"] = "lag"
    steps: Annotated[int, Field(ge=1, le=1_000)] = 1
    """1: the latest known value; 2: the one before; missing values do not count."""


class Rolling(_OfEntity):
    """Aggregates of an entity's earlier values by event time, ``<value>.<how>_<days>d.<entity>``.

    When serving, those of the last ``window_days`` of training. Of the target: of rows in other folds only, so folds
    must not be blocks of days far longer than the window (``SplitSpec.time_folds='hashed'`` makes others). The value
    column itself is no feature unless another step makes it one, and need not be sent by callers.
    """

    kind: Literal["rolling"] = "rolling"
    window_days: Annotated[float, Field(gt=0, le=36_500)] = 7.0
    """Length of the window, in days; it ends ``delay_hours`` before the row."""
    how: Annotated[tuple[Aggregate, ...], Field(min_length=1)] = ("mean", "count")
    """Aggregates, weighted by inclusion; of the target only mean, count and sum. std divides by the number of rows."""
