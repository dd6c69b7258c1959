"""Random forest: scikit-learn's, exported to plain arrays."""

from __future__ import annotations

from typing import Any, ClassVar

from pipelines.algorithms.base import Params, TaskInfo
from pipelines.algorithms.forest import MAX_SAMPLES, Forest
from pipelines.inference.trees.forests import RandomForestMember, TreesMember


class RandomForest(Forest):
    """Forest whose trees each see a bootstrap sample of the rows."""

    name: ClassVar[str] = "random_forest"
    member: ClassVar[type[TreesMember]] = RandomForestMember

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        """Return a smooth and a sharp configuration."""
        share = 0.35 if shape.task != "regression" else 0.5
        first = {"max_features": share, "min_samples_leaf": 3, "criterion": "first"}
        return first, {"max_features": min(1.0, 2 * share), "min_samples_leaf": 1, "criterion": "second"}

    def estimator(self, classes: int, rows: int, options: Params) -> Any:
        """Return scikit-learn's random forest."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        options = {**options, "bootstrap": True, "max_samples": min(rows, MAX_SAMPLES)}
        return (RandomForestClassifier if classes else RandomForestRegressor)(**options)
