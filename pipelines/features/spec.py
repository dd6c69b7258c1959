"""Settings of the features: one small spec per step, applied in order.

A step reads columns of the cleaned rows or outputs of earlier steps. A step that changes a column (impute, clip, scale,
transform, group) *keeps its name*: later steps read the result. A step that makes something new adds columns named
``<column>.<what>``; an encoding (one-hot, frequency, bins, date parts, …) stands for its column, which is then no
feature itself, while a combination (ratio, cross, age, …) leaves its columns to the other steps.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.features.steps.base import Step
from pipelines.features.steps.categorical import Codes, Frequency, Hashing, OneHot, Ordinal, RareGroup
from pipelines.features.steps.combine import Cross, Difference, Ratio
from pipelines.features.steps.dates import Age, Cycles, DatePart, DateParts
from pipelines.features.steps.entity import Lag, Rolling
from pipelines.features.steps.numeric import Bin, Clip, Impute, MinMax, Power, QuantileTransform, Robust, Standardise
from pipelines.features.steps.reduce import Pca, TruncatedSvd
from pipelines.features.steps.select import Select
from pipelines.features.steps.target import TargetEncode
from pipelines.features.steps.text import HashedText, TextLength
from pipelines.spec import Spec

__all__ = [
    "Age",
    "AnyStep",
    "Bin",
    "Clip",
    "Codes",
    "Cross",
    "Cycles",
    "DateParts",
    "Difference",
    "FeatureSpec",
    "Frequency",
    "HashedText",
    "Hashing",
    "Impute",
    "Lag",
    "MinMax",
    "OneHot",
    "Ordinal",
    "Pca",
    "Power",
    "QuantileTransform",
    "RareGroup",
    "Ratio",
    "Robust",
    "Rolling",
    "Select",
    "Standardise",
    "Step",
    "TargetEncode",
    "TextLength",
    "TruncatedSvd",
]

AnyStep = Annotated[
    Impute
    | Standardise
    | MinMax
    | Robust
    | QuantileTransform
    | Power
    | Bin
    | Clip
    | Codes
    | OneHot
    | Ordinal
    | Frequency
    | Hashing
    | RareGroup
    | DateParts
    | Cycles
    | Age
    | HashedText
    | TextLength
    | Ratio
    | Difference
    | Cross
    | TargetEncode
    | Lag
    | Rolling
    | Select
    | Pca
    | TruncatedSvd,
    Field(discriminator="kind"),
]


class FeatureSpec(Spec):
    """How clean columns become numbers."""

    auto: bool = True
    """Choose steps automatically for columns that no step names; if false, they are left out."""
    steps: tuple[AnyStep, ...] = ()
    """What to make, in order; a step may read what an earlier one made."""
    max_categories: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Most categories of a column with their own code; the most frequent ones get it."""
    rare_count: Annotated[int, Field(ge=1)] = 5
    """Categories in fewer training rows than this share one code with unseen ones."""
    drop_unique_text: bool = True
    """Leave out category columns where nearly every row has its own text, such as identifiers."""
    unique_share: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Share of distinct texts among the non-missing from which a column counts as unique text."""
    date_parts: tuple[DatePart, ...] = ("year", "month", "day", "weekday", "day_of_year", "hour")
    """Parts of a date that become features; the hour only where times of day occur. ``elapsed_days`` are at choice: no
    coming night's were ever seen, so trees learn from them when a row was, not what it is."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        chosen = False
        for step in self.steps:
            if chosen and isinstance(step, Pca | TruncatedSvd):
                raise ValueError(f"{step.kind} after a selection by the target would mix it in; put it before Select")
            chosen = chosen or (isinstance(step, Select) and step.of_target)
        return self
