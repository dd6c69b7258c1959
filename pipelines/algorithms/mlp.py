"""Multilayer perceptron: scikit-learn's, one pass over the rows at a time, kept as plain arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import FIXED_BYTES, Array, Family, Fitted, Limit, Params, Part, Shape
from pipelines.algorithms.metrics import log_loss, rmse
from pipelines.algorithms.scores import constant_member
from pipelines.inference.linear import Design
from pipelines.inference.network import NetworkMember

MAX_ROWS = 100_000
"""More rows than this are thinned by a fixed step."""
MAX_WIDTH = 400
"""Columns of the design matrix."""
MAX_PASSES, PATIENCE = 60, 6


class Mlp(Family):
    """Rectifier layers learned by Adam, with early stopping on the fold: the best pass is kept."""

    name: ClassVar[str] = "mlp"
    needs: ClassVar[tuple[str, ...]] = ("sklearn",)

    def portfolio(self, shape: Shape) -> tuple[Params, ...]:
        """Give a middling and a wider network."""
        first = {
            "width": 64, "layers": 2, "learning_rate": 3e-3, "penalty": 1e-3, "numbers": "pieces", "pieces": 8,
            "levels": 30,
        }  # fmt: skip
        return first, {**first, "width": 128, "numbers": "straight", "learning_rate": 1.5e-3}

    def space(self, shape: Shape) -> dict[str, BaseDistribution]:
        """Give the search space."""
        return {
            "width": IntDistribution(16, 192, log=True),
            "layers": IntDistribution(1, 3),
            "learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
            "penalty": FloatDistribution(1e-5, 1.0, log=True),
            "numbers": CategoricalDistribution(("pieces", "straight")),
            "pieces": IntDistribution(4, 32, log=True),
            "levels": IntDistribution(10, 80, log=True),
        }

    def fit(
        self, params: Params, train: Part, valid: Part | None, shape: Shape, *,
        seed: int, threads: int, limit: Limit, device: str = "cpu",
    ) -> Fitted:  # fmt: skip
        """Pass over the rows until the validation part stops improving, ``passes`` is reached, or the limit comes."""
        with threadpool_limits(threads, user_api="blas"):
            return self._fit(params, train, valid, shape, seed, limit)

    def _fit(self, params: Params, train: Part, valid: Part | None, shape: Shape, seed: int, limit: Limit) -> Fitted:
        limit.check()
        if (train.y == train.y[0]).all():
            return Fitted(self.name, constant_member(train.y, train.w, shape), {"passes": 1.0})
        step = -(-len(train.y) // MAX_ROWS)
        X, y, w = train.X[::step], train.y[::step], train.w[::step]
        adapters = learn_adapters(params, X, shape, MAX_WIDTH)
        design = Design(adapters)(X)
        learner = _Learner(params, design, y, w / w.mean(), shape, seed)
        best, best_loss, best_pass = None, np.inf, 0
        passes = int(params.get("passes", MAX_PASSES))
        for number in range(1, passes + 1):
            limit.check()
            learner.go_on()
            if valid is None:
                best, best_pass = learner.layers(), number
            else:
                member = learner.member(adapters, *learner.layers())
                loss = (log_loss if shape.classes else rmse)(valid.y, member.predict(valid.X), valid.w)
                if loss < best_loss:
                    best, best_loss, best_pass = learner.layers(), loss, number
                elif number - best_pass >= PATIENCE:
                    break
            if limit.ripe():
                break
        layers = best or learner.layers()
        return Fitted(self.name, learner.member(adapters, *layers), {"passes": float(max(1, best_pass))})

    def settle(self, params: Params, learned: Sequence[Mapping[str, float]]) -> Params:
        """Fix the number of passes at the folds' mean."""
        mean = float(np.mean([entry.get("passes", 1.0) for entry in learned])) if learned else MAX_PASSES / 3
        return {**params, "passes": max(1, round(mean))}

    def memory(self, shape: Shape) -> int:
        """Estimate the design matrix, its shuffled copy and the layers."""
        return FIXED_BYTES + 20 * min(MAX_ROWS, shape.rows) * MAX_WIDTH


class _Learner:
    """scikit-learn's network and the way back from its layers."""

    def __init__(self, params: Params, design: Array, y: Array, w: Array, shape: Shape, seed: int) -> None:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        self.design, self.w, self.shape = design, w, shape
        self.center, self.spread = (0.0, 1.0) if shape.classes else (float(y.mean()), float(y.std()) or 1.0)
        self.y = y.astype(np.intp) if shape.classes else (y - self.center) / self.spread
        self.present = [int(label) for label in np.unique(self.y)] if shape.classes else []
        reach = 0.5 * float(np.ptp(y))
        self.span = None if shape.classes else (float(y.min()) - reach, float(y.max()) + reach)
        self._known = {"classes": np.array(self.present)} if shape.classes else {}
        model: Any = MLPClassifier if shape.classes else MLPRegressor
        self.model = model(
            hidden_layer_sizes=(int(params["width"]),) * int(params["layers"]), alpha=float(params["penalty"]),
            batch_size=int(np.clip(len(y) // 50, 32, 512)), learning_rate_init=float(params["learning_rate"]),
            random_state=seed,
        )  # fmt: skip

    def go_on(self) -> None:
        """Pass over the rows once more."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of batches longer than few rows, which it cuts itself
            self.model.partial_fit(self.design, self.y, sample_weight=self.w, **self._known)

    def layers(self) -> tuple[list[Array], list[Array]]:
        """Give a copy of weights and biases."""
        return [layer.copy() for layer in self.model.coefs_], [layer.copy() for layer in self.model.intercepts_]

    def member(self, adapters: Any, weights: list[Array], biases: list[Array]) -> NetworkMember:
        """Give what answers, in the target's unit."""
        weights, biases = [*weights], [*biases]
        weights[-1], biases[-1] = weights[-1] * self.spread, biases[-1] * self.spread + self.center
        return NetworkMember(adapters, weights, biases, self.present, self.shape.classes, self.span)
