"""Steps that leave features out."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipelines.features.steps.base import Step


class Select(Step):
    """Leave out uninformative features; selection by the target is decided on the other folds when a fold judges."""

    kind: Literal["select"] = "select"
    last: ClassVar[bool] = True
    by: Literal["variance", "correlation", "mutual_information", "shadow"]
    """What says little. variance: at most ``limit`` of it, numbers only. correlation: above ``limit`` with an earlier
    feature, numbers only. mutual_information: at most ``limit`` nats with the target. shadow: more important to boosted
    trees than the best of the features' shuffled copies in at most a share ``limit`` of the rounds (Boruta)."""
    limit: Annotated[float, Field(ge=0)] | None = None
    """Limit as said; None: variance 0, correlation 0.98, shadow 0.5, mutual_information what chance may give."""
    most: Annotated[int, Field(ge=1)] | None = None
    """Keep at most this many features, the best ones; mutual_information and shadow only."""
    always: tuple[str, ...] = ()
    """Features that are always kept; a name that no feature has is listed among those left out."""

    @property
    def of_target(self) -> bool:
        """Whether the selection uses the target."""
        return self.by in ("mutual_information", "shadow")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.most is not None and self.by in ("variance", "correlation"):
            raise ValueError(f"'most' does not go with by={self.by!r}, which ranks nothing")
        if self.limit is not None and self.by in ("correlation", "shadow") and self.limit > 1:
            raise ValueError(f"'limit' {self.limit} is above 1")
        return self
