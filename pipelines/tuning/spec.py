"""What is searched, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec

FamilyName = Literal["lightgbm", "extra_trees", "linear"]
MIN_SECONDS = 10.0


class TuneSpec(Spec):
    """The search over families and their settings."""

    families: tuple[FamilyName, ...] = ("lightgbm", "extra_trees", "linear")
    """Estimator families that take part, the one tried first in front."""
    budget_seconds: Annotated[float, Field(ge=MIN_SECONDS, le=86_400)] | None = 60.0
    """Wall clock, in seconds, of tune and ensemble together, Ray's start and refits included; not reproducible."""
    trials: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Number of trials instead of seconds; when set it wins, and the same inputs give the same model to the byte.
    Fewer than families: only the first of these take part."""
    generation: Annotated[int, Field(ge=1, le=64)] = 4
    """A trial is proposed from the results of all trials but the latest this many; bounds the trials at one time."""
    keep: Annotated[int, Field(ge=1, le=100)] = 16
    """Number of best trials whose out-of-fold predictions are kept for the ensemble."""
    prune: bool = True
    """Give a trial up after its first folds when it is far behind the best."""
    augment: Literal["none", "smote"] = "none"
    """``smote``: whether a trial learns from synthetic rows of rare classes too (SMOTE) becomes part of the search, on
    the training side of each fold only; not for a regression."""
    members: Annotated[int, Field(ge=1, le=50)] = 8
    """Refits that time is set aside for; as EnsembleSpec.max_members. Counts in a budget in seconds only."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not self.families:
            raise ValueError("families is empty; name at least one of lightgbm, extra_trees, linear")
        if len(set(self.families)) != len(self.families):
            raise ValueError(f"families names one twice: {self.families}")
        if self.budget_seconds is None and self.trials is None:
            raise ValueError("neither budget_seconds nor trials is set; set one, for example trials=20")
        return self
