"""Gradient boosted symmetric trees with statistics of categories: CatBoost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from pipelines.algorithms.base import (
    FIXED_BYTES,
    Array,
    Dataset,
    Family,
    FitContext,
    Fitted,
    Limit,
    OutOfTimeError,
    Params,
    TaskInfo,
    intervals,
    judged_part,
    matrix_bytes,
    seen_classes,
    settled_iterations,
)
from pipelines.algorithms.links import LINK, link_space, with_links
from pipelines.algorithms.platt_calibration import constant_member
from pipelines.inference.members.catboost import CatBoostMember, features

MAX_ITERATIONS = 1500
PATIENCE = 40
FEW_ITERATIONS = 10
GPU_MEMORY = 0.9
"""Of the memory that a fit may hold on a GPU it takes this share at once; the rest is for what CUDA itself needs."""
LEAF_STEPS = 3
"""Newton steps for a leaf of a classifier: its own 10 take three times as long and are no better."""
MAX_VALUES = 1_500_000
"""Numbers in all leaves: a tree of depth d has 2^d leaves of one number, or one per class; 12 MB."""


class CatBoost(Family):
    """CatBoost with early stopping on the fold. Codes are its categories, whatever their number."""

    name: ClassVar[str] = "catboost"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "gpu")
    gpu_rows: ClassVar[int] = 20_000

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a balanced, a shallow and a deep configuration."""
        step = 0.1 if shape.rows < 50_000 and shape.classes <= 2 else 0.15
        first = {
            "learning_rate": step,
            "depth": 6,
            "l2_leaf_reg": 3.0,
            "random_strength": 1.0,
            "rsm": 0.8,
            "subsample": 0.8,
            "one_hot_max_size": 20,
        }
        shallow = {**first, "depth": 4, "learning_rate": 0.15, "l2_leaf_reg": 8.0}
        deep = {**first, "depth": 8, "rsm": 0.6, "l2_leaf_reg": 6.0}
        return with_links(shape, (first, shallow, deep))

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {
            "learning_rate": FloatDistribution(0.04 if shape.classes <= 2 else 0.06, 0.25, log=True),
            "depth": IntDistribution(3, 9),
            "l2_leaf_reg": FloatDistribution(0.5, 50.0, log=True),
            "random_strength": FloatDistribution(1e-2, 10.0, log=True),
            "rsm": FloatDistribution(0.3, 1.0),
            "subsample": FloatDistribution(0.5, 1.0),
            "one_hot_max_size": IntDistribution(2, 60, log=True),
            **link_space(shape),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Boost until the validation part stops improving, ``iterations`` is reached, or the limit comes."""
        import catboost  # type: ignore[import-untyped]  # it ships no types

        context.limit.check()
        present, y = seen_classes(train.y, shape)
        if (y == y[0]).all():
            return Fitted(self.name, constant_member(train.y, train.w, shape), {"iterations": 1.0})
        codes = list(shape.codes)
        numbers = [index for index, kind in enumerate(shape.kinds) if kind != "code"]
        # It boosts a logarithm from 0, which takes hundreds of steps to reach the mean: it is given the mean.
        start = float(np.log(np.average(y, weights=train.w))) if params.get(LINK) == "log" and y.any() else 0.0

        def pooled(X: Array, label: Array, weight: Array) -> Any:
            baseline = np.full((len(label), 1), start) if start else None
            return catboost.Pool(
                features(X, numbers, codes), label=label, weight=weight, baseline=baseline, thread_count=context.threads
            )

        pool = pooled(train.X, y, train.w / train.w.mean())
        part = judged_part(valid, present, shape)
        judged = None if part is None else pooled(*part)
        options = self._options(params, shape, len(present), context)
        if judged is not None:
            options |= {"od_type": "Iter", "od_wait": PATIENCE, "use_best_model": True}
        model = catboost.CatBoost(options)
        timed = (context.limit.soft or context.limit.hard) is not None
        watch = _Watch(context.limit) if context.device == "cpu" and timed else None
        model.fit(pool, eval_set=judged, callbacks=None if watch is None else [watch])
        context.limit.check()
        if watch is not None and watch.late is not None:
            raise watch.late
        if start:
            model.set_scale_and_bias(1.0, start)
        member = CatBoostMember(
            model, numbers, codes, [int(label) for label in present], shape.classes, params.get(LINK)
        )
        return Fitted(self.name, member, {"iterations": float(model.tree_count_)})

    def memory(self, shape: TaskInfo) -> int:
        """Estimate a copy of the rows, the quantised cells, the statistics of categories, and the scores."""
        numbers = FIXED_BYTES + matrix_bytes(shape) + shape.rows * (4 * len(shape.kinds) + 64 * shape.outputs)
        return numbers + 60 * shape.rows * len(shape.codes)

    def settle(self, params: Params, learned: Sequence[Mapping[str, float]]) -> Params:
        """Fix the number of iterations by what the folds came to."""
        return {**params, "iterations": settled_iterations(learned)}

    def _options(self, params: Params, shape: TaskInfo, present: int, context: FitContext) -> Params:
        values = 2 ** int(params["depth"]) * (present if present > 2 else 1)
        options: Params = {"iterations": max(FEW_ITERATIONS, min(MAX_ITERATIONS, MAX_VALUES // values)), **params}
        link = options.pop(LINK, "identity")
        options |= {
            "random_seed": context.seed,
            "thread_count": context.threads,
            "logging_level": "Silent",
            "allow_writing_files": False,
            "boosting_type": "Plain",
            "bootstrap_type": "MVS",
            "max_ctr_complexity": 1,
            "border_count": intervals(shape, 128, 32),
        }
        if context.device == "gpu":
            del options["rsm"]  # its GPU code has no such setting for these objectives
            options |= {
                "task_type": "GPU",
                "devices": "0",
                "gpu_ram_part": GPU_MEMORY * context.limit.gpu_share,
                "bootstrap_type": "Bernoulli",
            }
        if shape.classes:
            options["leaf_estimation_iterations"] = LEAF_STEPS
            return {**options, "loss_function": "Logloss" if present == 2 else "MultiClass"}
        if link == "log":
            return {**options, "loss_function": "Poisson"}
        return {**options, "loss_function": "MAE" if shape.metric == "mae" else "RMSE"}


class _Watch:
    """Callback that ends boosting at the limit; a few iterations are always grown, and kept."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.late: OutOfTimeError | None = None

    def after_iteration(self, info: Any) -> bool:
        """Say whether to go on; what is raised here would not come through."""
        try:
            self.limit.check_pace(info.iteration, FEW_ITERATIONS)
        except OutOfTimeError as late:
            self.late = late
            return False
        over = self.limit.hard is not None and Limit(soft=self.limit.hard).ripe()
        return not over and (info.iteration < FEW_ITERATIONS or not self.limit.ripe())
