"""What goes through the stage: what is opened, and the predictions that either case judges in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.artifacts import Artifact, Night
from pipelines.evaluation.comparison import reference_models
from pipelines.evaluation.comparison.compare import Comparison
from pipelines.evaluation.comparison.overlap import sides
from pipelines.evaluation.gate.verdict import Rival
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.inference.model_directory import ModelDirectory
from pipelines.secret_files import public_key
from pipelines.settings import Settings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class OpenedNight:
    """Tonight's model, the rows that it is judged on, and whom it is compared with.

    Parameters
    ----------
    sealed, train
        The sealed rows that judge, and the training rows.
    sealed_by
        Columns of the entity by which the rows were sealed; none: by key or time.
    rivals
        ``champion`` and ``anchor``, where there are; one that cannot be judged says why.
    admitted
        The model directories of those that can.
    """

    spec: EvaluateSpec
    night: Night
    model: ModelDirectory
    sealed: pd.DataFrame
    train: pd.DataFrame
    sealed_by: tuple[str, ...]
    rivals: dict[str, Rival]
    admitted: dict[str, ModelDirectory]


class Predicted(Protocol):
    """The predictions of the model, a baseline and the rivals for the sealed rows; with a target, or without."""

    @property
    def rows(self) -> pd.DataFrame:
        """The rows that judge."""

    @property
    def predictions(self) -> Array:
        """The model's predictions for these rows, (n,) or (n, k)."""

    @property
    def rivals(self) -> Mapping[str, Rival]:
        """Champion and anchor; one without usable predictions says why."""

    def score(self, name: str) -> float:
        """Return the metric of ``model``, ``baseline``, ``linear``, ``champion`` or ``anchor``."""

    def compare(self) -> dict[str, Comparison | None]:
        """Compare the model with each other one; None where these rows bound nothing."""

    def scores(self) -> dict[str, dict[str, Any]]:
        """Return every metric, by name of the model."""

    def explain(self) -> dict[str, Any]:
        """Return the explanations and scores by group; refuse a leak."""

    def candidate_fields(self, compared: Mapping[str, Comparison | None]) -> dict[str, Any]:
        """Return further fields of ``Candidate`` for the gate, besides scores and limits."""

    def reference(self) -> dict[str, Any] | None:
        """Describe the predictions for monitoring, where they can be watched."""

    def expected(self) -> dict[str, Any]:
        """Return the score with labels, what to expect without them, and its error; empty where it cannot be known."""

    def draw(self, folder: Path, title: str, details: Mapping[str, Any]) -> list[str]:
        """Draw PNG files into a new folder; return their names. Only this imports the library that draws."""


def open_night(
    spec: EvaluateSpec,
    *,
    night: Night,
    settings: Settings,
    ensemble: Artifact,
    split: Artifact,
    champion: Artifact | None,
    anchor: Artifact | None,
) -> OpenedNight:
    """Open the model directories, and read the rows; refuses rows that a model was trained on."""
    model, group = ModelDirectory.open(ensemble.path / "model", public_key(settings)), reference_models.sealed_by(split)
    sealed, train = sides(split.path, model, reference_models.compared(champion, night, group), night.model)
    rivals: dict[str, Rival] = {}
    admitted: dict[str, ModelDirectory] = {}
    for name, version in (("champion", champion), ("anchor", anchor)):
        if version is not None:
            rivals[name], live = reference_models.admit(
                version, sealed, night.model, group, unseen_only=name == "anchor"
            )
            if live is not None:
                admitted[name] = live
    return OpenedNight(spec, night, model, sealed, train, group, rivals, admitted)
