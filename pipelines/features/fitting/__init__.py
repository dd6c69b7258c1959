"""Fits the steps of the spec on the training rows and returns operations of the plan; one module per family of steps.

Each module has ``FITS``: by the ``kind`` of a step the function ``(step, data) -> FittedStep``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.features.fitting import categorical, combine, dates, entity, numeric, reduce, select, target, text
from pipelines.features.fitting.data import FittedStep, TrainingData

__all__ = ["FITS", "FittedStep", "TrainingData", "fit_step"]

Fit = Callable[[Any, TrainingData], FittedStep]
FITS: dict[str, Fit] = {}
"""The fitting function of every kind of step."""
for _family in (numeric, categorical, dates, text, combine, target, entity, select, reduce):
    FITS.update(_family.FITS)


def fit_step(step: Any, data: TrainingData) -> FittedStep:
    """Fit one step on the training rows."""
    return FITS[step.kind](step, data)
