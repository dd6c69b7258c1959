"""Settings of splitting: folds, what must not lie on both sides, and what counts as a leak."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec


class SplitSpec(Spec):
    """How training rows are divided for cross-validation, and which columns are refused because they give it away."""

    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Number of folds; fewer if there are fewer keys or days."""
    time_folds: Literal["blocked", "hashed"] = "blocked"
    """Dated models: folds of neighbouring days, so that a held-out row has no training row of the same time beside
    it, or of days dealt out by a hash."""
    judged_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Blocked folds: share of the rows, the latest ones, that are held out in turn. Earlier rows are only learned from:
    how well the past can be told from its future says little of the nights to come."""
    embargo_days: Annotated[int, Field(ge=0)] = 0
    """Blocked folds: rows of so many days on each side of a border between folds are left out of training."""
    group: tuple[str, ...] = ()
    """Columns of an entity, such as a customer: its rows share a fold, and a side of the seal, so that new entities
    judge. They may be in ModelSpec.drop. The last days of a dated model judge whatever the entity."""
    group_policy: Literal["refuse", "exclude", "judge_new"] = "refuse"
    """Dated models: an entity with sealed and training rows stops the night, its training rows are left out, or its
    sealed rows are left out, so that only new entities judge. Others seal whole entities, and have none."""
    leaks: Literal["refuse", "warn", "off"] = "refuse"
    """Whether a column that reveals the target stops the night, is only reported, or is not looked for."""
    leaks_allowed: tuple[str, ...] = ()
    """Columns that may look like leaks: they are known before the target is."""
    leak_auc: Annotated[float, Field(gt=0.5, le=1)] = 0.995
    """Classes: a column that alone ranks them this well (area under the ROC curve, mean over the classes)."""
    leak_r2: Annotated[float, Field(gt=0, le=1)] = 0.98
    """Numbers: a column that alone explains this share of the target's variance."""
    leak_missing: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Known only after the event: missing in this share of the rows without label, and in nearly none with one."""
    leak_future: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Dates: later than the row's own moment, or the night, in more than this share of the rows."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.embargo_days and self.time_folds != "blocked":
            raise ValueError("'embargo_days' is for time_folds='blocked'; hashed days lie beside one another")
        if self.group_policy != "refuse" and not self.group:
            raise ValueError(f"group_policy={self.group_policy!r} needs 'group', the columns of the entity")
        return self
