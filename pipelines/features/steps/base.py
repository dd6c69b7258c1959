"""What every step of the features has."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipelines.spec import Spec

Columns = Annotated[tuple[str, ...], Field(min_length=1)]
All = Literal["numbers", "categories", "dates"]
Share = Annotated[float, Field(ge=0, le=1)]


class Step(Spec):
    """What every step has."""

    consumes: ClassVar[bool] = False
    """Whether the step replaces the columns it reads, which are then no features themselves."""
    last: ClassVar[bool] = False
    """Whether the step follows ``auto``, and so sees every feature."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it reads."""
        columns = getattr(self, "columns", None)
        return tuple(columns) if isinstance(columns, tuple) else ()

    @property
    def stands_for(self) -> tuple[str, ...]:
        """The columns that it replaces: no features themselves, unless a later step makes them so."""
        return self.names if self.consumes else ()

    @property
    def of_target(self) -> bool:
        """Whether the step reads the target."""
        return False


class OfColumns(Step):
    """A step that treats columns, each on its own."""

    columns: Columns | All
    """Columns to treat, each on its own; "numbers", "categories" or "dates": all of that kind in the source."""
