"""Fits principal components and truncated singular value decomposition, from sums over the partitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.errors import SpecError
from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.names import check_kinds, free_name
from pipelines.features.fitting.statistics import MOST, bounded, square_unit
from pipelines.features.spec import Pca, TruncatedSvd
from pipelines.inference.operations.base import Numbers, Output
from pipelines.inference.operations.reduce import Project


class Moments(NamedTuple):
    """Weighted ``mean`` (p,) of the given numbers, and ``scatter`` (p, p), the weighted mean of centred products.

    Missing numbers count as the mean, so they add nothing to the scatter, which is that of the numbers divided by
    ``unit`` (p,): 1 but for numbers whose squares no float holds.
    """

    mean: Numbers
    scatter: Numbers
    unit: Numbers


def moments(data: TrainingData, names: Sequence[str]) -> Moments:
    """Compute means and products in two passes; some partitions and p × p numbers are in memory at a time."""

    def first(columns: dict[str, object]) -> tuple[Numbers, Numbers, Numbers]:
        X, w = _matrix(columns, names), _weights(columns)
        seen = ~np.isnan(X)
        X = np.where(seen, X, 0.0)
        size = np.abs(X).max(axis=0, initial=0.0)
        return (w[:, None] * (X / square_unit(size))).sum(axis=0), (w[:, None] * seen).sum(axis=0), size

    sums = data.by_part(names, first, stamps=("_weight",))
    given = np.sum([part[1] for part in sums], axis=0)
    unit = square_unit(np.max([part[2] for part in sums], axis=0))
    # the partitions' sums in the unit of all: none is beyond the weight of its rows
    total = np.sum([part[0] * (np.where(part[2] > 0.0, square_unit(part[2]), 0.0) / unit) for part in sums], axis=0)
    middle = np.divide(total, given, out=np.zeros(len(names)), where=given > 0)

    def second(columns: dict[str, object]) -> tuple[Numbers, float]:
        X, w = _matrix(columns, names), _weights(columns)
        off = np.where(np.isnan(X), 0.0, X / unit - middle)
        with threadpool_limits(1, user_api="blas"):  # the same sums on any number of cores
            return (off * w[:, None]).T @ off, float(w.sum())

    products = data.by_part(names, second, stamps=("_weight",))
    scatter = np.sum([part[0] for part in products], axis=0) / sum(part[1] for part in products)
    with np.errstate(over="ignore"):
        return Moments(np.clip(middle * unit, -MOST, MOST), scatter, unit)


def _matrix(columns: dict[str, object], names: Sequence[str]) -> Numbers:
    return np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in names])


def _weights(columns: dict[str, object]) -> Numbers:
    weights = columns["_weight"]
    return np.asarray(weights.to_numpy(zero_copy_only=False)) if isinstance(weights, pa.Array) else np.asarray(weights)


def fit_reduction(step: Pca | TruncatedSvd, data: TrainingData) -> FittedStep:
    """Return the leading eigenvectors of the covariance (PCA), or of the second moments about 0 (truncated SVD).

    The sign of a component is such that its weight of largest size is positive (the first of equal ones).

    Notes
    -----
    Jolliffe, Principal Component Analysis (2002), chapter 3. The right singular vectors of a matrix are the
    eigenvectors of its second moments: Golub, Van Loan, Matrix Computations (2013), section 8.6.
    """
    label = "pca" if isinstance(step, Pca) else "svd"
    numbers = [name for name in data.outputs if data.kinds.get(name) == "number"]
    names = list(step.columns) if step.columns is not None else numbers
    check_kinds(names, data, ("number",), f"{type(step).__name__}(columns=…)")
    if len(names) < 2:
        raise SpecError(
            "a reduction needs at least two number features",
            where=f"{type(step).__name__}(columns=…)",
            seen=names,
            expected="two or more",
            cure="name number features in 'columns', or take the step out",
        )
    mean, scatter, unit = moments(data, names)
    scale = np.ones(len(names))
    centre = mean if isinstance(step, Pca) else np.zeros(len(names))
    about = scatter if isinstance(step, Pca) else scatter + np.outer(mean / unit, mean / unit)
    if step.standardise:
        spread = np.sqrt(np.diag(scatter))
        spread = np.where(spread > 0.0, spread, 1.0)
        scale = np.array([bounded(deviation) for deviation in spread * unit])
        about = about / spread[:, None] / spread
    else:
        about = about * np.outer(unit / unit.max(), unit / unit.max())
    with threadpool_limits(1, user_api="blas"):
        values, vectors = np.linalg.eigh(about)
    order = np.argsort(-values, kind="stable")[: min(step.components, len(names))]
    weights = vectors[:, order]
    sizes = np.abs(weights)
    leading = (sizes >= sizes.max(axis=0) * (1.0 - 1e-9)).argmax(axis=0)
    weights = weights * np.where(weights[leading, np.arange(len(order))] < 0.0, -1.0, 1.0)
    total = float(np.maximum(values, 0.0).sum()) or 1.0
    taken = set(data.kinds)
    outputs = tuple(Output(free_name(f"{label}{index + 1}", taken)) for index in range(len(order)))
    how = {
        output.name: f"{label} of {len(names)} numbers, {max(0.0, float(values[index])) / total:.1%} of their variance"
        for output, index in zip(outputs, order, strict=True)
    }
    table = pa.table({f"value{index}": weights[:, index] for index in range(len(order))})
    fill, centres, scales = (tuple(map(float, part)) for part in (mean, centre, scale))
    operation = Project(tuple(names), outputs, fill, centres, scales, table)
    reason = f"reduced to {outputs[0].name}…{outputs[-1].name}"
    return FittedStep((operation,), how=how, dropped={} if step.keep else dict.fromkeys(names, reason))


FITS = {"pca": fit_reduction, "svd": fit_reduction}
