"""The fitted members of a model, their combination, and its calibration."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DeployError
from pipelines.inference.ensemble.calibration import CALIBRATIONS, calibrated, ready
from pipelines.inference.ensemble.combine import KINDS, combine_predictions
from pipelines.inference.members.combination_nodes import EnsembleNode

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ensemble:
    """Predicts with every node in order, combines the predictions and calibrates the result.

    Attributes
    ----------
    nodes
        In the order of ``members`` in ``model.json``; a node reads the predictions of those before it.
    combine
        See ``combine_predictions``.
    calibration
        See ``calibrated``; None: predictions are left as they are.
    """

    nodes: tuple[EnsembleNode, ...]
    combine: dict[str, Any]
    calibration: dict[str, Any] | None = field(default=None)

    @classmethod
    def load(cls, model_dir: Path) -> Ensemble:
        """Read the members that ``model.json`` lists.

        Raises
        ------
        DeployError
            If this release cannot read a member, the way of combining or the calibration.
        """
        described = json.loads((model_dir / "model.json").read_text())
        combine, calibration = described["combine"], described.get("calibration")
        _check(model_dir, "combine the members of", combine["kind"], KINDS)
        if calibration is not None:
            _check(model_dir, "calibrate the predictions of", calibration["kind"], CALIBRATIONS)
            calibration = ready(calibration)
        folder = model_dir / "members"
        nodes = tuple(EnsembleNode.load(folder, entry, index) for index, entry in enumerate(described["members"]))
        return cls(nodes, combine, calibration)

    @property
    def members(self) -> tuple[EnsembleNode, ...]:
        """The nodes."""
        return self.nodes

    def node_predictions(self, X: Array) -> list[Array]:
        """Return the predictions of each node, in order; ``X`` (n, p)."""
        predictions: list[Array] = []
        for node in self.nodes:
            predictions.append(node.predict(X, predictions))
        return predictions

    def predict(self, X: Array) -> Array:
        """Predict; ``X`` (n, p) gives (n,) for regression, else (n, classes) probabilities."""
        return calibrated(self.calibration, combine_predictions(self.combine, self.node_predictions(X)))


def _check(model_dir: Path, what: str, kind: str, known: tuple[str, ...]) -> None:
    if kind not in known:
        raise DeployError(
            f"this release cannot {what} the model",
            where=str(model_dir / "model.json"),
            seen=kind,
            expected=", ".join(known),
            cure="serve the version with the release that trained it",
        )
