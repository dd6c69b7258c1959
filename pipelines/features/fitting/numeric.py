"""Fits the steps on numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.names import check_kinds, free_name, named_columns
from pipelines.features.fitting.statistics import bounded, moments, quantiles
from pipelines.features.spec import Bin, Clip, Impute, MinMax, Power, QuantileTransform, Robust, Standardise
from pipelines.inference.operations import numeric
from pipelines.inference.operations.base import Numbers, Operation, Output

NORMAL_CUT = 1e-7
"""Shares closer to 0 or 1 get the normal score of this share: ±5.2."""
POWERS = (-4.0, 4.0)
"""Range in which the exponent of a power transform is sought."""


def _each(step: Any, data: TrainingData, learn: Callable[[Numbers], Any]) -> list[tuple[str, Any]]:
    """Check the columns of a step and fit each on its non-missing numbers."""
    names = named_columns(step.columns, data)
    check_kinds(names, data, ("number",), f"{type(step).__name__}(columns={names})")

    def one(_: str, values: Numbers) -> Any:
        missing = np.isnan(values)
        return learn(values[~missing] if missing.any() else values)

    return list(zip(names, data.each(names, one), strict=True))


def _replaced(made: list[tuple[Operation, str]]) -> FittedStep:
    return FittedStep(tuple(one for one, _ in made), how={one.outputs[0].name: told for one, told in made})


def fit_impute(step: Impute, data: TrainingData) -> FittedStep:
    """Learn the medians, or take the constant."""
    learn = (lambda given: quantiles(given, (0.5,))[0]) if step.how == "median" else (lambda given: step.value)
    operations, how, taken = list[Operation](), dict[str, str](), set(data.kinds)
    for name, value in _each(step, data, learn):
        outputs = [Output(name)]
        how[name] = f"missing filled with {'the median ' if step.how == 'median' else ''}{value:g}"
        if step.indicator:
            outputs.append(Output(free_name(f"{name}.missing", taken)))
            how[outputs[1].name] = f"1 where {name} is missing"
        operations.append(numeric.Fill((name,), tuple(outputs), value))
    return FittedStep(tuple(operations), how=how)


def fit_standardise(step: Standardise, data: TrainingData) -> FittedStep:
    """Learn weighted mean and standard deviation."""
    names = named_columns(step.columns, data)
    check_kinds(names, data, ("number",), f"Standardise(columns={names})")
    weight = data.weight()
    found = data.each(names, lambda _, values: moments(values, weight))
    return _scaled([(name, *pair) for name, pair in zip(names, found, strict=True)], "mean {:g}, deviation {:g}")


def fit_min_max(step: MinMax, data: TrainingData) -> FittedStep:
    """Learn the range."""
    found = _each(step, data, lambda given: (float(given.min()), float(given.max())) if len(given) else (0.0, 1.0))
    return _scaled([(name, low, bounded(high - low)) for name, (low, high) in found], "smallest {:g}, range {:g}")


def fit_robust(step: Robust, data: TrainingData) -> FittedStep:
    """Learn the median and the distance between two quantiles."""
    found = _each(step, data, lambda given: quantiles(given, (step.low, 0.5, step.high)))
    triples = [(name, middle, bounded(high - low)) for name, (low, middle, high) in found]
    return _scaled(triples, f"median {{:g}}, {{:g}} between the {step.low:g} and {step.high:g} quantiles")


def _scaled(found: list[tuple[str, float, float]], told: str) -> FittedStep:
    return _replaced(
        [
            (numeric.Scale((name,), (Output(name),), shift, scale), f"scaled by {told.format(shift, scale)}")
            for name, shift, scale in found
        ]
    )


def fit_clip(step: Clip, data: TrainingData) -> FittedStep:
    """Learn the limits that are not declared."""
    shares = [
        share
        for share, fixed in ((step.low, step.at_least), (step.high, step.at_most))
        if share is not None and fixed is None
    ]
    made: list[tuple[Operation, str]] = []
    for name, learned in _each(step, data, lambda given: quantiles(given, shares) if len(given) else None):
        rest = iter(learned or ())
        low = step.at_least if step.at_least is not None else next(rest, None) if step.low is not None else None
        high = step.at_most if step.at_most is not None else next(rest, None) if step.high is not None else None
        if low is not None and high is not None and low > high:  # a learned limit beyond a declared one
            low, high = (low, low) if step.at_least is not None else (high, high)
        words = ["…" if limit is None else f"{limit:g}" for limit in (low, high)]
        made.append((numeric.Clip((name,), (Output(name),), low, high), f"clipped to {' to '.join(words)}"))
    return _replaced(made)


def fit_quantile(step: QuantileTransform, data: TrainingData) -> FittedStep:
    """Learn the rank curve: values, and their mid-ranks among the training rows as shares."""
    made: list[tuple[Operation, str]] = []
    for name, (x, y) in _each(step, data, partial(rank_curve, knots=step.knots)):
        if step.to == "normal":
            from scipy.special import ndtri

            y = ndtri(np.clip(y, NORMAL_CUT, 1.0 - NORMAL_CUT))
        curve = numeric.Curve((name,), (Output(name),), tuple(x.tolist()), tuple(y.tolist()))
        made.append((curve, f"rank among the training rows as {'a share' if step.to == 'uniform' else 'normal score'}"))
    return _replaced(made)


def rank_curve(given: Numbers, knots: int) -> tuple[Numbers, Numbers]:
    """Return the points of the rank curve, x ascending and seen in training; a constant column has rank 0.5."""
    if not len(given):
        return np.zeros(1), np.full(1, 0.5)
    ordered = np.sort(given)
    x = np.unique(ordered[np.linspace(0, len(ordered) - 1, knots).round().astype(np.int64)])
    if len(x) == 1:
        return x, np.full(1, 0.5)
    below, upto = np.searchsorted(ordered, x, "left"), np.searchsorted(ordered, x, "right")
    return x, (below + upto - 1) / 2.0 / (len(ordered) - 1)


def fit_power(step: Power, data: TrainingData) -> FittedStep:
    """Learn the exponent, and the mean and deviation of the transformed values."""
    weight = data.weight()
    exponents = dict(_each(step, data, yeo_johnson_exponent))
    names = list(exponents)

    def one(name: str, values: Numbers) -> tuple[float, float]:
        with np.errstate(over="ignore"):
            return moments(numeric.finite(numeric.yeo_johnson(values, exponents[name])), weight)

    spread = zip(names, data.each(names, one), strict=True)
    return _replaced(
        [
            (
                numeric.Power((name,), (Output(name),), exponents[name], *pair),
                f"Yeo-Johnson power {exponents[name]:.4g}, standardised",
            )
            for name, pair in spread
        ]
    )


def yeo_johnson_exponent(given: Numbers) -> float:
    """Return the exponent of maximum likelihood (Yeo and Johnson 2000, equation 3.1); 1 (no change) if constant."""
    from scipy.optimize import minimize_scalar

    if not len(given) or given.min() == given.max():
        return 1.0
    signed = float((np.sign(given) * np.log1p(np.abs(given))).sum())

    def loss(exponent: float) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = moments(numeric.finite(numeric.yeo_johnson(given, exponent)), np.ones(len(given)))[1]
        return float(len(given) * np.log(deviation) - (exponent - 1.0) * signed)

    return float(minimize_scalar(loss, bounds=POWERS, method="bounded", options={"xatol": 1e-6}).x)


def fit_bin(step: Bin, data: TrainingData) -> FittedStep:
    """Learn the borders."""
    shares = (np.arange(1, step.bins) / step.bins).tolist()

    def learn(given: Numbers) -> tuple[float, ...]:
        if not len(given):
            return ()
        low, high = float(given.min()), float(given.max())
        inner = quantiles(given, shares) if step.how == "quantile" else np.linspace(low, high, step.bins + 1)[1:-1]
        return tuple(float(border) for border in np.unique(inner) if low < border and np.isfinite(border))

    operations, how, taken = list[Operation](), dict[str, str](), set(data.kinds)
    for name, borders in _each(step, data, learn):
        output = Output(free_name(f"{name}.bin", taken), "code", len(borders) + 1)
        operations.append(numeric.Bin((name,), (output,), borders))
        how[output.name] = f"interval of {len(borders) + 1}, equal by {'rows' if step.how == 'quantile' else 'width'}"
    return FittedStep(tuple(operations), how=how)


FITS = {
    "impute": fit_impute,
    "standardise": fit_standardise,
    "min_max": fit_min_max,
    "robust": fit_robust,
    "clip": fit_clip,
    "quantile": fit_quantile,
    "power": fit_power,
    "bin": fit_bin,
}
