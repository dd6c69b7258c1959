"""Steps that use the target."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipelines.features.steps.base import OfColumns


class TargetEncode(OfColumns):
    """The mean of the target by category, ``<column>.target`` (``….target=<class>`` by class of a multiclass model).

    A training row's value is learned from the other folds only. Missing is a category; unseen ones get the mean of all.
    """

    kind: Literal["target_encode"] = "target_encode"
    consumes: ClassVar[bool] = True
    together: bool = False
    """Take the columns together as one key, ``<a>*<b>.target``, instead of each on its own."""
    strength: Annotated[float, Field(ge=0)] | None = None
    """Weight of the overall mean, in rows; None: by how much categories differ beyond chance (empirical Bayes)."""

    @property
    def stands_for(self) -> tuple[str, ...]:
        """The columns that are encoded, each separately."""
        return () if self.together else self.names

    @property
    def of_target(self) -> bool:
        """Always: it is the target's mean."""
        return True
