"""Means of the target by category, learned from training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipelines.inference.operations.base import register
from pipelines.inference.operations.keys import Keyed


@register
@dataclass(frozen=True)
class TargetMean(Keyed):
    """The smoothed mean of the target of a row's category; of an unknown category, that of all training rows."""

    kind: ClassVar[str] = "target_mean"
