"""Gradient boosted trees: XGBoost, kept as LightGBM's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

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
    intervals,
    judged_part,
    seen_classes,
    settled_iterations,
)
from pipelines.algorithms.links import LINK, link_space, with_links
from pipelines.algorithms.xgboost_export import MISSING_CODE, export

MAX_ITERATIONS = 2000
PATIENCE = 40
FEW_ITERATIONS = 10
NATIVE_CODES = 256
"""A code column with more codes than this is learned from as an ordered number."""
MAX_LEAVES = 200_000
"""Leaves of all trees together: bounds a member to about 14 MB."""


class XGBoost(Family):
    """XGBoost's histogram method with early stopping on the fold and native categories.

    A leaf needs a hessian of at least ``min_child_weight``, with weights of mean 1: rare classes do not collapse. A
    class that the rows do not have is never predicted.
    """

    name: ClassVar[str] = "xgboost"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "gpu")
    gpu_rows: ClassVar[int] = 50_000

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a balanced, a shallow and a deep configuration."""
        step = 0.08 if shape.rows < 100_000 and shape.classes <= 2 else 0.1
        first = {
            "learning_rate": step,
            "max_leaves": 31,
            "max_depth": 8,
            "min_child_weight": 2.0,
            "subsample": 0.85,
            "colsample_bynode": 0.6,
            "reg_lambda": 2.0,
            "reg_alpha": 1e-3,
            "max_cat_threshold": 32,
        }
        shallow = {**first, "learning_rate": 0.08, "max_leaves": 12, "max_depth": 5, "reg_lambda": 8.0}
        deep = {**first, "max_leaves": 96, "max_depth": 11, "colsample_bynode": 0.4, "reg_lambda": 10.0}
        return with_links(shape, (first, shallow, deep))

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {
            "learning_rate": FloatDistribution(0.02 if shape.classes <= 2 else 0.05, 0.15, log=True),
            "max_leaves": IntDistribution(8, 160 if shape.classes <= 2 else 96, log=True),
            "max_depth": IntDistribution(3, 12),
            "min_child_weight": FloatDistribution(0.5, 50.0, log=True),
            "subsample": FloatDistribution(0.6, 1.0),
            "colsample_bynode": FloatDistribution(0.3, 1.0),
            "reg_lambda": FloatDistribution(1e-2, 50.0, log=True),
            "reg_alpha": FloatDistribution(1e-3, 10.0, log=True),
            "max_cat_threshold": IntDistribution(8, 128, log=True),
            **link_space(shape),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Boost until the validation part stops improving, ``iterations`` is reached, or the limit comes."""
        import xgboost

        context.limit.check()
        if context.device == "gpu" and not xgboost.build_info()["USE_CUDA"]:  # else it would use the CPU silently
            raise RuntimeError("this build of XGBoost cannot use a GPU: build .venv from requirements-gpu.lock")
        native = [index for index in shape.codes if shape.cardinality[index] <= NATIVE_CODES]
        present, y = seen_classes(train.y, shape)
        if shape.classes and len(present) == 1:
            return Fitted(self.name, export(None, shape, present, native), {"iterations": 1.0})
        options = self._options(params, shape, present, context)
        kinds = ["c" if index in native else "q" for index in range(len(shape.kinds))]

        def data(X: Array, label: Array, weight: Array, reference: Any = None) -> Any:
            return xgboost.QuantileDMatrix(
                _input(X, native),
                label=label,
                weight=weight / weight.mean(),
                feature_types=kinds,
                ref=reference,
                enable_categorical=True,
                max_bin=options["max_bin"],
                nthread=context.threads,
            )

        matrix = data(train.X, y, train.w)
        part, rounds = judged_part(valid, present, shape), self._rounds(params, present, shape)
        judged = [] if part is None else [(data(*part, matrix), "valid")]
        watch = _watch(context.limit)
        callbacks = [watch, *([xgboost.callback.EarlyStopping(rounds=PATIENCE)] if judged else [])]
        booster = xgboost.train(options, matrix, rounds, evals=judged, callbacks=callbacks, verbose_eval=False)
        best = booster.best_iteration + 1 if judged else booster.num_boosted_rounds()
        booster = booster[:best]
        member = export(booster, shape, present, native)
        return Fitted(self.name, member, {"iterations": float(best)})

    def memory(self, shape: TaskInfo) -> int:
        """Estimate a copy of the rows, the quantised cells, and gradients, hessians and scores."""
        return FIXED_BYTES + shape.rows * (14 * len(shape.kinds) + 40 * shape.outputs)

    def settle(self, params: Params, learned: Sequence[Mapping[str, float]]) -> Params:
        """Fix the number of iterations by what the folds came to."""
        return {**params, "iterations": settled_iterations(learned)}

    def _rounds(self, params: Params, present: ClassIndices, shape: TaskInfo) -> int:
        trees = len(present) if shape.task == "multiclass" else 1
        most = max(FEW_ITERATIONS, min(MAX_ITERATIONS, MAX_LEAVES // (trees * int(params["max_leaves"]))))
        return int(params.get("iterations", most))

    def _options(self, params: Params, shape: TaskInfo, present: ClassIndices, context: FitContext) -> Params:
        options: Params = {name: value for name, value in params.items() if name not in ("iterations", LINK)}
        options |= {
            "tree_method": "hist",
            "grow_policy": "lossguide",
            "max_cat_to_onehot": 4,
            "seed": context.seed,
            "max_bin": intervals(shape, 256, 64),
            "nthread": context.threads,
            "device": "cuda" if context.device == "gpu" else "cpu",
            "verbosity": 0,
        }
        if shape.task == "multiclass":
            return {**options, "objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": len(present)}
        if shape.classes:
            return {**options, "objective": "binary:logistic", "eval_metric": "logloss"}
        if params.get(LINK) == "log":
            return {**options, "objective": "count:poisson", "eval_metric": "rmse"}
        if shape.metric == "mae":
            return {**options, "objective": "reg:absoluteerror", "eval_metric": "mae"}
        return {**options, "objective": "reg:squarederror", "eval_metric": "rmse"}


def _input(X: Array, native: Sequence[int]) -> NDArray[np.float32]:
    """Return single precision, with codes counted from 0 for the missing one."""
    with np.errstate(over="ignore"):
        rows = np.clip(X, -np.finfo(np.float32).max, np.finfo(np.float32).max).astype(np.float32)
    for index in native:
        rows[:, index] = np.where(np.isnan(X[:, index]), MISSING_CODE, X[:, index] + 1.0)
    return rows


def _watch(limit: Limit) -> Any:
    """Return the callback that ends boosting at the limit; a few iterations are always grown, and kept."""
    from xgboost.callback import TrainingCallback

    class Watch(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            limit.check()
            limit.check_pace(epoch + 1, FEW_ITERATIONS)
            return epoch + 1 >= FEW_ITERATIONS and limit.ripe()

    return Watch()
