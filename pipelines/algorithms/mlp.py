"""Multilayer perceptrons: scikit-learn's, several side by side, one pass at a time, kept as plain arrays."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import FIXED_BYTES, Array, Dataset, Family, FitContext, Fitted, Params, TaskInfo
from pipelines.algorithms.platt_calibration import constant_member
from pipelines.inference.members.linear import Design
from pipelines.inference.members.mlp import Layers, NetworkMember
from pipelines.metrics import METRICS

MAX_ROWS = 100_000
"""More rows than this are thinned by a fixed step."""
MAX_WIDTH = 400
"""Columns of the design matrix."""
BATCHES = 80
"""Steps of one pass, as long as a batch has 32 to 512 rows."""
NETWORKS = 3
"""Networks with different initial weights whose mean is the prediction: a single one depends on its start."""


class Mlp(Family):
    """Rectifier layers learned by Adam, whose steps shrink over the passes to nothing; the mean of ``NETWORKS``.

    The pass that is best on the fold is kept. It takes part on small tables, or where it is asked for by name.
    """

    name: ClassVar[str] = "mlp"
    most_rows: ClassVar[int | None] = 20_000

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return one for plenty of numbers, and one that learns less, of numbers piece by piece."""
        first = {
            "width": 64,
            "layers": 2,
            "learning_rate": 1e-2,
            "passes": 20,
            "penalty": 1e-2,
            "numbers": "straight",
            "pieces": 8,
            "levels": 30,
        }
        return first, {**first, "numbers": "pieces", "passes": 8, "penalty": 0.3}

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        """Return the search space."""
        return {
            "width": IntDistribution(16, 192, log=True),
            "layers": IntDistribution(1, 3),
            "learning_rate": FloatDistribution(1e-3, 3e-2, log=True),
            "passes": IntDistribution(4, 40, log=True),
            "penalty": FloatDistribution(1e-5, 1.0, log=True),
            "numbers": CategoricalDistribution(("pieces", "straight")),
            "pieces": IntDistribution(4, 32, log=True),
            "levels": IntDistribution(10, 80, log=True),
        }

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        """Pass over the rows ``passes`` times, or as often as the limit leaves time for; on all rows up to ``stop``."""
        with threadpool_limits(context.threads, user_api="blas"):
            return self._fit(params, train, valid, shape, context)

    def _fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        limit = context.limit
        limit.check()
        if (train.y == train.y[0]).all():
            return Fitted(self.name, constant_member(train.y, train.w, shape), {"passes": 1.0, "stop": 1.0})
        step = -(-len(train.y) // MAX_ROWS)
        X, y, w = train.X[::step], train.y[::step], train.w[::step]
        adapters = learn_adapters(params, X, shape, MAX_WIDTH)
        design = Design(adapters)(X).astype(np.float32)  # faster, and far finer than what a pass more changes
        seeds = range(context.seed, context.seed + NETWORKS)
        learners = [_Learner(params, design, y, w / w.mean(), shape, seed) for seed in seeds]
        best, best_loss, kept = list[Layers](), np.inf, 0
        passes, done, began = int(params["passes"]), 0, time.time()
        while done < min(passes, int(params.get("stop", passes))):
            for learner in learners:
                limit.check()
                learner.go_on(done / passes)
            done += 1
            layers = [learner.layers() for learner in learners]
            loss = 0.0
            if valid is not None:
                y_pred = learners[0].member(adapters, layers).predict(valid.X)
                loss = METRICS["log_loss" if shape.classes else "rmse"].score(valid.y, y_pred, valid.w)
            if valid is None or loss < best_loss or not best:
                best, best_loss, kept = layers, loss, done
            if done == 1 and limit.soft is not None:  # fewer passes, each with its share of the way to the end
                passes = max(1, min(passes, int((limit.soft - began) / (time.time() - began))))
            if limit.ripe():
                break
        member = learners[0].member(adapters, best)
        return Fitted(self.name, member, {"passes": float(passes), "stop": float(kept)})

    def settle(self, params: Params, learned: Sequence[Mapping[str, float]]) -> Params:
        """Fix the number of passes, and after which of them to stop, at the folds' mean."""
        found = {name: [entry[name] for entry in learned if name in entry] for name in ("passes", "stop")}
        return {**params, **{name: max(1, round(float(np.mean(counts)))) for name, counts in found.items() if counts}}

    def memory(self, shape: TaskInfo) -> int:
        """Estimate the design matrix, its shuffled copy and the layers."""
        return FIXED_BYTES + 20 * min(MAX_ROWS, shape.rows) * MAX_WIDTH


class _Learner:
    """scikit-learn's network and the way back from its layers."""

    def __init__(self, params: Params, design: Any, y: Array, w: Array, shape: TaskInfo, seed: int) -> None:
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
            hidden_layer_sizes=(int(params["width"]),) * int(params["layers"]),
            alpha=float(params["penalty"]),
            batch_size=int(np.clip(len(y) // BATCHES, 32, 512)),
            learning_rate_init=float(params["learning_rate"]),
            random_state=seed,
        )

    def go_on(self, share: float) -> None:
        """Pass over the rows once more, with steps as half a cosine has them where this share of the passes is over."""
        if share:  # scikit-learn has schedules for plain descent alone, and makes its optimizer in the first pass
            self.model._optimizer.learning_rate_init = self.model.learning_rate_init * 0.5 * (1 + np.cos(np.pi * share))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of batches longer than few rows, which it cuts itself
            self.model.partial_fit(self.design, self.y, sample_weight=self.w, **self._known)

    def layers(self) -> Layers:
        """Return a copy of weights and biases, the last ones in the target's unit."""
        weights, biases = (
            [layer.astype(np.float64) for layer in layers] for layers in (self.model.coefs_, self.model.intercepts_)
        )
        weights[-1], biases[-1] = weights[-1] * self.spread, biases[-1] * self.spread + self.center
        return weights, biases

    def member(self, adapters: Any, networks: list[Layers]) -> NetworkMember:
        """Return the member that predicts with these networks."""
        return NetworkMember(adapters, networks, self.present, self.shape.classes, self.span)
