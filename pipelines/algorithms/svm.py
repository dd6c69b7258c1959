"""Support vector machines: linear, or with a Gaussian kernel approximated by random features or landmarks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import (
    FIXED_BYTES,
    Array,
    ClassIndices,
    Dataset,
    Family,
    FitContext,
    Fitted,
    Limit,
    Params,
    TaskInfo,
)
from pipelines.algorithms.platt_calibration import calibrate, constant_member, held_back
from pipelines.inference.members.linear import Design
from pipelines.inference.members.svm import KernelMap, SvmMember

MAX_ROWS = 30_000
"""More rows than this are thinned by a fixed step."""
MAX_WIDTH = 300
"""Columns of the design matrix."""
ITERATIONS = 120
INSENSITIVE = 0.05
"""Half width, in standard deviations of the target, of the tube in which a regression's error counts nothing."""


class Svm(Family):
    """L2-regularised squared hinge loss, one class against the rest (squared ε-insensitive loss for a regression).

    ``kernel`` is linear, fourier (random Fourier features) or nystroem (kernels to rows drawn at random). Scores become
    probabilities by a logistic regression on rows held back from the machine that it is learned for.

    Notes
    -----
    Rahimi, Recht: Random features for large-scale kernel machines, NIPS 2007. Williams, Seeger: Using the Nyström
    method to speed up kernel machines, NIPS 2000.
    """

    name: ClassVar[str] = "svm"

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a curved and a linear machine."""
        first = {"kernel": "fourier", "strength": 1.0, "gamma": 0.5, "features": 300, "levels": 20}
        return first, {**first, "kernel": "linear"}

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space; ``gamma`` is in units of one over the number of columns."""
        return {
            "kernel": CategoricalDistribution(("linear", "fourier", "nystroem")),
            "strength": FloatDistribution(1e-2, 1e2, log=True),
            "gamma": FloatDistribution(0.03, 5.0, log=True),
            "features": IntDistribution(100, 600, log=True),
            "levels": IntDistribution(5, 40, log=True),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Learn the adapter, the map and the coefficients; ``valid`` is not used."""
        with threadpool_limits(context.threads, user_api="blas"):
            return self._fit(params, train, shape, context)

    def _fit(self, params: Params, train: Dataset, shape: TaskInfo, context: FitContext) -> Fitted:
        seed, limit = context.seed, context.limit
        limit.check()
        if (train.y == train.y[0]).all():
            return Fitted(self.name, constant_member(train.y, train.w, shape))
        step = -(-len(train.y) // MAX_ROWS)
        X, y, w = train.X[::step], train.y[::step], train.w[::step]
        adapters = learn_adapters({**params, "numbers": "straight", "pieces": 2}, X, shape, MAX_WIDTH)
        design = Design(adapters)(X)
        kernel = _kernel(params, design, seed)
        features = design if kernel is None else kernel(design)
        limit.check()
        made = _Machine(float(params["strength"]), limit)
        if not shape.classes:
            center, spread = float(np.average(y, weights=w)), float(y.std()) or 1.0
            coefficients, intercept = made.numbers(features, (y - center) / spread, w)
            reach = 0.5 * float(np.ptp(y))
            span = (float(y.min()) - reach, float(y.max()) + reach)
            member = SvmMember(adapters, kernel, coefficients * spread, intercept * spread + center, 0, span)
            return Fitted(self.name, member)
        learn, judge = held_back(y, seed)
        present = np.unique(y).astype(np.intp)
        coefficients, intercept = made.classes(features[learn], y[learn], w[learn], present)
        margins = features[judge] @ coefficients + intercept
        scale, bias = calibrate(margins, y[judge], w[judge], present, shape.classes)
        if not learn.all():
            coefficients, intercept = made.classes(features, y, w, present)
        member = SvmMember(adapters, kernel, coefficients @ scale, intercept @ scale + bias, shape.classes)
        return Fitted(self.name, member)

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the design matrix, the features and what the solver needs beside them."""
        return FIXED_BYTES + 8 * min(MAX_ROWS, shape.rows) * (MAX_WIDTH + 3 * 600 + 4 * shape.outputs)


def _kernel(params: Params, design: Array, seed: int) -> KernelMap | None:
    """Return the map of a kernel machine, None for a linear one."""
    if params["kernel"] == "linear":
        return None
    rng = np.random.default_rng(seed)
    spread = design.std(axis=0)
    columns = int(np.count_nonzero(spread)) or 1
    scale = np.full(design.shape[1], np.sqrt(float(params["gamma"]) / columns))
    count = int(params["features"])
    if params["kernel"] == "fourier":
        directions = rng.normal(scale=np.sqrt(2.0), size=(design.shape[1], count))
        return KernelMap("fourier", scale, directions, rng.uniform(0.0, 2.0 * np.pi, count))
    chosen = np.sort(rng.choice(len(design), min(count, len(design)), replace=False))
    landmarks = np.ascontiguousarray(design[chosen] * scale)
    return KernelMap("nystroem", scale, landmarks, np.einsum("md,md->m", landmarks, landmarks))


class _Machine:
    """The solver: L-BFGS on the primal problem, which is smooth; all classes at once."""

    def __init__(self, strength: float, limit: Limit) -> None:
        self.strength, self.limit = strength, limit

    def classes(self, X: Array, y: Array, w: Array, present: ClassIndices) -> tuple[Array, Array]:
        """Return (m, k) and (k,): a score per class of ``present``, 1 where it is sure and -1 where it is sure not."""
        sides = np.where(y[:, None] == present, 1.0, -1.0)
        if len(present) == 2:
            coefficients, intercept = self._solve(X, sides[:, 1:], w, tube=None)
            return np.hstack([-coefficients, coefficients]), np.concatenate([-intercept, intercept])
        return self._solve(X, sides, w, tube=None)

    def numbers(self, X: Array, y: Array, w: Array) -> tuple[Array, Array]:
        """Return (m, 1) and (1,) for a target of standard deviation 1."""
        return self._solve(X, y[:, None], w, tube=INSENSITIVE)

    def _solve(self, X: Array, goal: Array, w: Array, tube: float | None) -> tuple[Array, Array]:
        weight = (w / w.sum())[:, None]
        k, m = goal.shape[1], X.shape[1]
        penalty = self.strength / len(X)

        def loss(flat: Array) -> tuple[float, Array]:
            B = flat.reshape(m + 1, k)
            scores = X @ B[:-1] + B[-1]
            if tube is None:
                short = np.maximum(0.0, 1.0 - goal * scores)
                slope = -goal * short
            else:
                off = scores - goal
                short = np.maximum(0.0, np.abs(off) - tube)
                slope = np.sign(off) * short
            slope = 2.0 * weight * slope
            value = float((weight * short**2).sum() + 0.5 * penalty * (B[:-1] ** 2).sum())
            gradient = np.vstack([X.T @ slope + penalty * B[:-1], slope.sum(axis=0)])
            return value, gradient.ravel()

        def watch(intermediate_result: Any) -> None:
            self.limit.check()
            if self.limit.ripe():
                raise StopIteration

        options = {"maxiter": ITERATIONS, "maxcor": 10, "gtol": 1e-5}
        found = minimize(loss, np.zeros((m + 1) * k), jac=True, method="L-BFGS-B", options=options, callback=watch)
        B = found.x.reshape(m + 1, k)
        return B[:-1], B[-1]
