"""How trials are combined into one model, how much it may cost, and how its predictions are calibrated."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec

Method = Literal[
    "average",
    "weighted_average",
    "hard_vote",
    "soft_vote",
    "blending",
    "stacking",
    "bagging",
    "boosting",
    "hybrid",
    "cascade",
    "stacking_features",
    "two_layers",
]
Compression = Literal["members", "trees", "quantise", "distil"]


class EnsembleSpec(Spec):
    """The combination of the search's best trials; the best single trial always competes too.

    A model without target is the best trial alone.
    """

    methods: tuple[Method, ...] = ("weighted_average", "stacking")
    """Combinations that compete on out-of-fold rows; empty: the best single trial. The first six combine trials as they
    are. The others fit new members on every fold, which takes time: ``bagging`` the best trial on resampled rows,
    ``boosting`` a second trial on what the best one leaves unexplained, ``hybrid`` trees on what a linear model leaves,
    ``cascade`` a trial that also reads the prediction of another, ``stacking_features`` a linear model of all
    predictions and the columns, ``two_layers`` trials that read the predictions of all, averaged. Those that read
    other trials have these fitted once more for every two folds. Within a budget in seconds they get what the refits
    of trials alone would leave; what does not fit is left out and named (TuneSpec.members sets more time aside)."""
    max_members: Annotated[int, Field(ge=1, le=50)] = 8
    """Most trials in the model; each is refitted on all training rows."""
    max_row_ms: Annotated[float, Field(gt=0)] | None = None
    """Most milliseconds that the members may take for one row, by the estimate of ``cost.py``; nothing is measured, so
    that the same search gives the same model. None: not limited."""
    max_bytes: Annotated[int, Field(ge=1_000)] | None = 50_000_000
    """Most bytes of all members' files. None: not limited."""
    pick: Literal["frugal", "best", "simplest", "cheapest"] = "frugal"
    """Point on the front of score against cost, within ``max_row_ms`` and ``max_bytes``. ``frugal``: the cheapest that
    costs at most ``max_loss`` of the best one's out-of-fold error, and, where that much time would be needed, no more
    than 0.7 ms a row as long as it costs at most five times that; ``best``: the best whatever it costs; ``simplest``,
    ``cheapest``: that of those within noise (a standard error over folds) of the best."""
    rounds: Annotated[int, Field(ge=1, le=500)] = 25
    """Steps of the greedy choice of weights: a weight is a multiple of 1 / steps taken."""
    penalty: Annotated[float, Field(ge=0)] = 0.001
    """Pull of the stacking weights towards equal weights, per unit of squared distance."""
    bags: Annotated[int, Field(ge=2, le=50)] = 5
    """Fits on resampled rows that a bag is the mean of."""
    refit: Literal["whole", "folds"] = "whole"
    """``whole``: a chosen trial is fitted once, on all rows; ``folds``: once without each fold, and the mean of these
    predictions."""
    choice_rows: Annotated[int, Field(ge=1_000)] = 20_000
    """Most out-of-fold rows that weights are chosen on, taken at a fixed step."""
    calibration: Literal["auto", "none", "temperature", "platt", "isotonic"] = "auto"
    """Correction of probabilities, learned on out-of-fold predictions; ``auto``: the simplest within noise of the best
    log loss, none included, as long as the metric does not suffer. A regression has none."""
    threshold: (
        Annotated[float, Field(gt=0, lt=1)] | Literal["most_probable", "f1", "balanced_accuracy", "mcc", "cost"]
    ) = "most_probable"
    """Binary only: the probability of the positive label from which it is predicted; a number, the one that is best
    out of fold for a metric, or the one of least cost by the two fields below."""
    cost_false_positive: Annotated[float, Field(ge=0)] = 1.0
    """Cost of predicting the positive label wrongly, in any unit."""
    cost_false_negative: Annotated[float, Field(ge=0)] = 1.0
    """Cost of missing a positive label, in the same unit."""
    compress: tuple[Compression, ...] = ("members", "trees", "quantise")
    """What is tried to make the model smaller: fewer members, fewer trees, shorter numbers in leaves and thresholds,
    or one small student instead of all."""
    max_loss: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Most that a frugal choice, and then compression, may cost, as a share of the out-of-fold error (1 - AUC, log
    loss, RMSE, …)."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name, values in (("methods", self.methods), ("compress", self.compress)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names one twice: {values}")
        if self.threshold == "cost" and not self.cost_false_positive and not self.cost_false_negative:
            raise ValueError("threshold is 'cost' but both costs are 0; set cost_false_positive or cost_false_negative")
        return self
