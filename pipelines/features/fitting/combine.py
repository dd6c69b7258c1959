"""Fits the steps that combine columns; nothing is learned."""

from __future__ import annotations

from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.names import check_kinds, free_name
from pipelines.features.spec import Cross, Difference, Ratio
from pipelines.inference.operations import combine
from pipelines.inference.operations.base import Output


def fit_ratio(step: Ratio, data: TrainingData) -> FittedStep:
    """Divide."""
    pair = (step.numerator, step.denominator)
    check_kinds(pair, data, ("number",), f"Ratio{pair}")
    name = free_name("/".join(pair), set(data.kinds))
    return FittedStep((combine.Ratio(pair, (Output(name),)),), how={name: f"{pair[0]} divided by {pair[1]}"})


def fit_difference(step: Difference, data: TrainingData) -> FittedStep:
    """Subtract."""
    pair = (step.left, step.right)
    check_kinds(pair, data, ("number",), f"Difference{pair}")
    name = free_name("-".join(pair), set(data.kinds))
    return FittedStep((combine.Difference(pair, (Output(name),)),), how={name: f"{pair[0]} less {pair[1]}"})


def fit_cross(step: Cross, data: TrainingData) -> FittedStep:
    """Join the texts."""
    check_kinds(step.columns, data, ("category",), f"Cross{step.columns}")
    name = free_name("*".join(step.columns), set(data.kinds))
    how = {name: f"{' and '.join(step.columns)} together"}
    return FittedStep((combine.Cross(step.columns, (Output(name, "category"),)),), how=how)


FITS = {"ratio": fit_ratio, "difference": fit_difference, "cross": fit_cross}
