"""The metrics by name. A metric is added by one line here, its name in ``MetricName``, and what computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

if TYPE_CHECKING:  # spec.py and so every DAG file imports this module
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MetricName = Literal[
    "roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "balanced_accuracy", "f1", "macro_f1", "mcc",
    "rmse", "mae", "mape", "r2", "rmsle", "poisson_deviance",
    "silhouette", "explained_variance", "variance_gain",
]  # fmt: skip


class Resampled(Protocol):
    """The predictions of one model, ready to be scored under many row weights at once; NaN where not defined."""

    def score(self, weights: Array) -> Array:
        """Return the metric, (m,), under each row of ``weights``, (m, n): how often each row was drawn."""

    def by_block(self, block: NDArray[np.intp], blocks: int) -> Callable[[Array], Array]:
        """Return the metric as a function of how often each block was drawn, (m, blocks).

        Parameters
        ----------
        block
            (n,) the block of each row, from 0 to ``blocks`` - 1.
        """


class Measure(Protocol):
    """What computes a metric."""

    def score(self, y_true: Any, y_pred: Any, sample_weight: Array) -> float:
        """Return the metric in its own direction."""

    def resampled(self, y_true: Any, y_pred: Any) -> Resampled:
        """Return predictions that can be scored under many row weights."""


@dataclass(frozen=True)
class Metric:
    """A metric that search and gate can decide by.

    ``y_true`` is (n,) values or class indices, -1 for a class that the model does not know; ``y_pred`` is (n,) for
    regression, else (n, classes) probabilities. A label is predicted where its probability is the largest. Without a
    target ``y_true`` is not read, and ``y_pred`` is a :class:`pipelines.metrics.unsupervised.MemberOutput`.
    """

    name: MetricName
    tasks: tuple[str, ...]
    """What it can judge; the first metric of a task is the task's default."""
    sees: Literal["order", "probabilities", "labels", "values", "points"]
    """What it uses of predictions: of probabilities their order, themselves, or the largest one alone."""
    measured_by: str
    """``module:NAME`` of the :class:`Measure`: how it is computed and resampled."""
    greater_is_better: bool = False

    @property
    def optimum(self) -> float:
        """The score of a perfect model."""
        return 1.0 if self.greater_is_better else 0.0

    @property
    def needs_labels(self) -> bool:
        """Whether it sees predicted labels: probabilities only through the largest one."""
        return self.sees == "labels"

    @property
    def sign(self) -> float:
        """1 if greater is better, else -1."""
        return 1.0 if self.greater_is_better else -1.0

    @cached_property
    def measure(self) -> Measure:
        """What computes it."""
        return cast(Measure, resolve_name(self.measured_by))

    def score(self, y_true: Any, y_pred: Any, sample_weight: Array) -> float:
        """Return the metric in its own direction; NaN where it is not defined."""
        return self.measure.score(y_true, y_pred, sample_weight)

    def loss(self, y_true: Any, y_pred: Any, sample_weight: Array) -> float:
        """Return the metric turned so that smaller is better."""
        return -self.sign * self.score(y_true, y_pred, sample_weight)

    def error(self, loss: float) -> float:
        """Return what a perfect model would have less of: 1 - score where greater is better, else the loss itself."""
        return loss + self.sign * self.optimum

    def resampled(self, y_true: Any, y_pred: Any) -> Resampled:
        """Return predictions that can be scored under many row weights at once."""
        return self.measure.resampled(y_true, y_pred)


BINARY, CLASSES, NUMBERS = ("binary",), ("binary", "multiclass"), ("regression",)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", BINARY, "order", "pipelines.metrics.ranks:ROC_AUC", greater_is_better=True),
        Metric("pr_auc", BINARY, "order", "pipelines.metrics.ranks:PR_AUC", greater_is_better=True),
        Metric("log_loss", CLASSES, "probabilities", "pipelines.metrics.means:LOG_LOSS"),
        Metric("brier", CLASSES, "probabilities", "pipelines.metrics.means:BRIER"),
        Metric("accuracy", CLASSES, "labels", "pipelines.metrics.labels:ACCURACY", greater_is_better=True),
        Metric(
            "balanced_accuracy", CLASSES, "labels", "pipelines.metrics.labels:BALANCED_ACCURACY", greater_is_better=True
        ),
        Metric("f1", BINARY, "labels", "pipelines.metrics.labels:F1", greater_is_better=True),
        Metric("macro_f1", ("multiclass",), "labels", "pipelines.metrics.labels:MACRO_F1", greater_is_better=True),
        Metric("mcc", CLASSES, "labels", "pipelines.metrics.labels:MCC", greater_is_better=True),
        Metric("rmse", NUMBERS, "values", "pipelines.metrics.means:RMSE"),
        Metric("mae", NUMBERS, "values", "pipelines.metrics.means:MAE"),
        Metric("mape", NUMBERS, "values", "pipelines.metrics.means:MAPE"),
        Metric("r2", NUMBERS, "values", "pipelines.metrics.means:R2", greater_is_better=True),
        Metric("rmsle", NUMBERS, "values", "pipelines.metrics.means:RMSLE"),
        Metric("poisson_deviance", NUMBERS, "values", "pipelines.metrics.means:POISSON_DEVIANCE"),
        Metric(
            "silhouette", ("clustering",), "points", "pipelines.metrics.unsupervised:SILHOUETTE", greater_is_better=True
        ),
        Metric(
            "variance_gain",
            ("reduction",),
            "points",
            "pipelines.metrics.unsupervised:VARIANCE_GAIN",
            greater_is_better=True,
        ),
        Metric(
            "explained_variance",
            ("reduction",),
            "points",
            "pipelines.metrics.unsupervised:EXPLAINED_VARIANCE",
            greater_is_better=True,
        ),
    )
}


def metrics_of(task: str) -> tuple[MetricName, ...]:
    """Return the names of the metrics that can judge a task, its default first."""
    return tuple(metric.name for metric in METRICS.values() if task in metric.tasks)
