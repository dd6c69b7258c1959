"""Gradient boosted trees: LightGBM."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from pipelines.algorithms.base import (
    FIXED_BYTES,
    Dataset,
    Family,
    FitContext,
    Fitted,
    Limit,
    Params,
    TaskInfo,
    intervals,
    matrix_bytes,
    settled_iterations,
)
from pipelines.algorithms.links import LINK, link_space, with_links
from pipelines.inference.members.boosters import LightGBMMember

MAX_ITERATIONS = 3000
PATIENCE = 40
NATIVE_CODES = 256
"""A code column with more codes than this is learned from as an ordered number."""
FEW_ITERATIONS = 10
FEW_ROWS = 20
LEAST_TRAVEL, MAX_STEP = 8.0, 0.3
"""Iterations times step that a limited fit should reach, and the longest step that it may take for it."""
MAX_LEAVES = 200_000
"""Leaves of all trees together: bounds a member to about 14 MB, and a trial's cost when there are many classes."""

OBJECTIVES = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
STOP_METRICS = {"binary": "binary_logloss", "multiclass": "multi_logloss", "regression": "l2"}


class LightGBM(Family):
    """LightGBM with early stopping on the fold, native categories and settings that survive rare classes.

    LightGBM's defaults collapse on a class of a few rows; a step of at most 0.1 and at least 1 of hessian in a leaf
    do not.
    """

    name: ClassVar[str] = "lightgbm"

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a balanced, a shallow and a deep configuration."""
        step = 0.05 if shape.rows < 100_000 and shape.classes <= 2 else 0.08
        leaf = int(np.clip(shape.rows // 500, 5, 40))
        first = {
            "learning_rate": step,
            "num_leaves": 31,
            "min_data_in_leaf": leaf,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.9,
            "lambda_l2": 1.0,
            "lambda_l1": 1e-3,
            "cat_smooth": 20.0,
            "max_bin": 255 if intervals(shape, 255, 63) > 127 else 63,
        }
        shallow = {**first, "learning_rate": 0.08, "num_leaves": 12, "feature_fraction": 0.5, "lambda_l2": 5.0}
        deep = {
            **first,
            "num_leaves": 96,
            "min_data_in_leaf": max(5, leaf // 2),
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "lambda_l2": 10.0,
        }
        return with_links(shape, (first, shallow, deep))

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {
            "learning_rate": FloatDistribution(0.02 if shape.classes <= 2 else 0.05, 0.1, log=True),
            "num_leaves": IntDistribution(8, 160 if shape.classes <= 2 else 96, log=True),
            "min_data_in_leaf": IntDistribution(3, 100, log=True),
            "feature_fraction": FloatDistribution(0.3, 0.9),
            "bagging_fraction": FloatDistribution(0.6, 1.0),
            "lambda_l2": FloatDistribution(1e-3, 50.0, log=True),
            "lambda_l1": FloatDistribution(1e-3, 10.0, log=True),
            "cat_smooth": FloatDistribution(1.0, 100.0, log=True),
            "max_bin": CategoricalDistribution((63, 255, 1023)),
            **link_space(shape),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Boost until the validation part stops improving, ``iterations`` is reached, or the limit comes."""
        import lightgbm

        # Weights of mean 1: else a sample of 1 % would make the leaves' penalty and least hessian a hundredth of it.
        native = [index for index in shape.codes if shape.cardinality[index] <= NATIVE_CODES]
        options = self._options(params, shape, context.seed, context.threads)
        if len(train.y) < FEW_ROWS:
            options["bagging_freq"] = 0  # else no row may be left
        binning = {"max_bin": params["max_bin"], "feature_pre_filter": False, "verbosity": -1}
        weight = train.w / train.w.mean()
        data = lightgbm.Dataset(
            train.X, label=train.y, weight=weight, categorical_feature=native, params={**options, **binning}
        )
        watch = _Watch(context.limit, float(params["learning_rate"]))
        callbacks: list[Any] = [watch]
        valid_sets = None
        if valid is not None:
            valid_sets = [lightgbm.Dataset(valid.X, label=valid.y, weight=valid.w, reference=data)]
            callbacks.append(lightgbm.early_stopping(PATIENCE, verbose=False))
        trees = shape.classes if shape.task == "multiclass" else 1
        most = max(FEW_ITERATIONS, min(MAX_ITERATIONS, MAX_LEAVES // (trees * int(params["num_leaves"]))))
        rounds = int(params.get("iterations", most))
        booster = lightgbm.train({**options, **binning}, data, rounds, valid_sets=valid_sets, callbacks=callbacks)
        stopped = valid is not None and booster.best_iteration > 0
        best = booster.best_iteration if stopped else booster.current_iteration()
        if best < booster.current_iteration():
            booster = lightgbm.Booster(model_str=booster.model_to_string(num_iteration=best))
        return Fitted(
            self.name, LightGBMMember(booster, shape.classes), {"iterations": float(best), "learning_rate": watch.step}
        )

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the binned rows (up to 2 bytes a cell), a copy for their making, and the scores."""
        return FIXED_BYTES + matrix_bytes(shape) + shape.rows * (2 * len(shape.kinds) + 48 * shape.outputs)

    def settle(self, params: Params, learned: Sequence[Mapping[str, float]]) -> Params:
        """Fix the number of iterations and the step by what the folds came to."""
        settled = {**params, "iterations": settled_iterations(learned)}
        if learned and any(entry.get("learning_rate", 0.0) > params["learning_rate"] for entry in learned):
            settled["learning_rate"] = float(np.mean([entry["learning_rate"] for entry in learned]))
        return settled

    def _options(self, params: Params, shape: TaskInfo, seed: int, threads: int) -> Params:
        objective, metric = OBJECTIVES[shape.task], STOP_METRICS[shape.task]
        if shape.metric == "mae":
            objective, metric = "regression_l1", "l1"
        if params.get(LINK) == "log":
            objective = "poisson"
        options: Params = {name: value for name, value in params.items() if name not in ("iterations", LINK)}
        options |= {
            "objective": objective,
            "metric": metric,
            "verbosity": -1,
            "seed": seed,
            "num_threads": threads,
            "deterministic": True,
            "force_row_wise": True,
            "bagging_freq": 1,
            "min_sum_hessian_in_leaf": 1.0,
            "min_data_per_group": 20,
        }
        if shape.task == "multiclass":
            options["num_class"] = shape.classes
        return options


class _Watch:
    """Callback that ends boosting at the limit; a few iterations are always grown, and kept.

    When the pace of the first iterations shows that too few fit before the soft limit, the steps are made longer:
    a coarse model of the whole signal is better than a fine one of its beginning.
    """

    order = 40
    before_iteration = False

    def __init__(self, limit: Limit, step: float) -> None:
        self.limit, self.step, self.started = limit, step, time.time()

    def __call__(self, env: Any) -> None:
        """Look at the clock after an iteration."""
        from lightgbm.callback import EarlyStopException

        self.limit.check()
        grown = env.iteration + 1
        self.limit.check_pace(grown, FEW_ITERATIONS)
        if self.limit.soft is None or grown < FEW_ITERATIONS:
            return
        if self.limit.ripe():
            raise EarlyStopException(env.iteration, env.evaluation_result_list)
        if grown == FEW_ITERATIONS:
            now = time.time()
            left = (self.limit.soft - now) * grown / max(now - self.started, 1e-6)
            if left * self.step < LEAST_TRAVEL:
                self.step = float(np.clip(LEAST_TRAVEL / max(left, 1.0), self.step, MAX_STEP))
                env.model.reset_parameter({"learning_rate": self.step})
