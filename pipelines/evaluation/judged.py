"""Sealed rows with the answers of a model to them, and the baseline's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.inference.ensemble import Ensemble
from pipelines.inference.plan import FeaturePlan
from pipelines.inference.schema import ServeSchema

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Version:
    """A model directory opened for judging; its manifest was checked by whoever hands it over."""

    facts: dict[str, Any]
    plan: FeaturePlan
    ensemble: Ensemble
    identity: tuple[tuple[str, ...], str | None]
    """Key and time columns: what decided which rows were sealed from it."""

    @classmethod
    def load(cls, model_dir: Path) -> Version:
        """Read a model directory."""
        facts = json.loads((model_dir / "model.json").read_text())
        schema = ServeSchema.load(model_dir)
        return cls(facts, FeaturePlan.load(model_dir / "plan"), Ensemble.load(model_dir), (schema.key, schema.time))

    @property
    def classes(self) -> list[str]:
        """The labels in the order of the probabilities; empty for regression."""
        return list(self.facts["classes"] or ())

    def missing(self, rows: pd.DataFrame) -> list[str]:
        """Give the columns that this version needs and the rows do not have."""
        return [name for name in self.plan.sources if name not in rows.columns]

    def answer(self, rows: pd.DataFrame) -> Array:
        """Predict cleaned rows with this version's own plan; what its recipe does to clean values is done once only."""
        recipe = self.plan.recipe.subset(self.plan.sources).settled()
        clean, _ = recipe.apply(rows[recipe.names])
        return self.ensemble.predict(self.plan.transform(clean))


def aligned(answer: Array, own: list[str], classes: list[str]) -> Array:
    """Put the probability columns of a model's ``own`` classes in the order of ``classes``; unknown ones are 0."""
    if own == classes:
        return answer
    full = np.zeros((len(answer), len(classes)))
    for place, label in enumerate(classes):
        if label in own:
            full[:, place] = answer[:, own.index(label)]
    return full


def truth_of(labels: pd.Series, classes: list[str]) -> Array:
    """Give values, or class indices with -1 for a label that is not in ``classes``."""
    if not classes:
        return labels.to_numpy(dtype=np.float64)
    places = {label: float(place) for place, label in enumerate(classes)}
    return np.asarray([places.get(str(label), -1.0) for label in labels], dtype=np.float64)


def baseline_answer(train_y: Array, train_w: Array, rows: int, classes: int, metric: str) -> Array:
    """Answer without looking: the class shares, or the mean (the median for mae), of the training rows."""
    if classes:
        counts = np.bincount(train_y[train_y >= 0].astype(np.intp), weights=train_w[train_y >= 0], minlength=classes)
        return np.tile(counts / counts.sum(), (rows, 1))
    if metric == "mae":
        order = np.argsort(train_y, kind="stable")
        passed = np.cumsum(train_w[order])
        return np.full(rows, train_y[order][np.searchsorted(passed, 0.5 * passed[-1])])
    return np.full(rows, np.average(train_y, weights=train_w))
