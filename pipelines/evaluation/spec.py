"""When a new version is good enough."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.spec import Spec


class EvaluateSpec(Spec):
    """The gate: how much worse than the champion a newer model may be, and how sure of it we want to be."""

    margin: Annotated[float, Field(ge=0)] | None = None
    """Largest loss accepted, in the metric; None: 0.01 for roc_auc and accuracy, else 2 % of the champion's score."""
    floor: float | None = None
    """Score, in the metric, that a model must reach to be promoted; None: the baseline alone."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of the one-sided bound of the difference to the champion."""
    bootstrap: Annotated[int, Field(ge=100, le=20_000)] = 1_000
    """Resamples of the sealed rows."""
    plots: bool = True
    """Draw the curves."""
