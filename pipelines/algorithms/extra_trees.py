"""Extremely randomised trees: scikit-learn's, exported to plain arrays."""

from __future__ import annotations

from typing import Any, ClassVar

from pipelines.algorithms.base import Params
from pipelines.algorithms.forest import MAX_SAMPLES, Forest


class ExtraTrees(Forest):
    """Forest whose trees take the best of some random splits."""

    name: ClassVar[str] = "extra_trees"

    def estimator(self, classes: int, rows: int, options: Params) -> Any:
        """Return scikit-learn's extra trees; on many rows each tree sees some of them."""
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        if rows > MAX_SAMPLES:
            options = {**options, "bootstrap": True, "max_samples": MAX_SAMPLES}
        return (ExtraTreesClassifier if classes else ExtraTreesRegressor)(**options)
