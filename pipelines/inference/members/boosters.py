"""Boosted trees: LightGBM's text format, which XGBoost's models are turned into as well."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.members.linear import sigmoid, softmax
from pipelines.inference.trees.fast_predict import NORMAL, RAW, Walker

Array = NDArray[np.float64]

NUMBERS = frozenset({"regression", "regression_l1", "huber", "fair", "quantile", "mape", "custom"})
"""LightGBM's objectives whose prediction is the sum of leaves."""


def _conversion(booster: Any) -> Callable[[Array], Array] | None:
    """Return the function from sums of leaves to predictions; None where only LightGBM has it."""
    text = booster.model_to_string(num_iteration=1)
    found = re.search(r"(?m)^objective=(.*)$", text)
    words = found.group(1).split() if found else ["custom"]
    if "average_output" in text.split("Tree=0")[0].splitlines() or "sqrt" in words:
        return None
    if words[:2] == ["binary", "sigmoid:1"]:
        return sigmoid
    if words[0] == "multiclass":
        return softmax
    if words[0] == "poisson":
        return np.exp
    return np.asarray if words[0] in NUMBERS else None


class LightGBMMember:
    """A LightGBM booster, stored as its own text format."""

    family: ClassVar[str] = "lightgbm"

    def __init__(self, booster: Any, classes: int) -> None:
        self.booster = booster
        self.classes = classes
        self._convert = _conversion(booster)
        kind = NORMAL if self._convert is None else RAW
        self._walker = Walker(booster, booster.num_model_per_iteration(), kind)

    @property
    def sums_leaves(self) -> bool:
        """Whether a prediction is the sum of leaves itself."""
        return self._convert is np.asarray

    def read(self, X: Array) -> Array:
        """Return the numbers that the trees see."""
        return X

    def predict(self, X: Array) -> Array:
        """Predict; a row's prediction is the same alone and among others."""
        if not len(X):
            return np.empty((0,) if self.classes == 0 else (0, self.classes))
        raw = self._walker.walk(self.read(X))
        if self._convert is not None:
            raw = self._convert(raw)
        if self.classes == 2:
            return np.column_stack([1.0 - raw[:, 0], raw[:, 0]])
        return raw if self.classes else raw[:, 0]

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write LightGBM's text format."""
        path = folder / f"{stem}.txt"
        path.write_text(self.booster.model_to_string(num_iteration=-1))
        spec = {"family": self.family, "file": path.name, "classes": self.classes}
        return {**spec, "trees": int(self.booster.num_trees())}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> Self:
        """Read what ``save`` wrote."""
        import lightgbm

        return cls(lightgbm.Booster(model_str=(folder / spec["file"]).read_text()), int(spec["classes"]))


class XGBoostMember(LightGBMMember):
    """An XGBoost model as LightGBM's text.

    XGBoost's own call takes 0.4 ms for one row and its library 30 MB; this takes 0.03 ms and no second library. Its
    predictions differ from XGBoost's by the rounding of single precision. XGBoost reads numbers in single precision: so
    does this.
    """

    family: ClassVar[str] = "xgboost"

    def read(self, X: Array) -> Array:
        """Return numbers rounded to single precision."""
        with np.errstate(over="ignore"):  # what is too large is larger than any threshold
            return np.asarray(X, dtype=np.float32).astype(np.float64)
