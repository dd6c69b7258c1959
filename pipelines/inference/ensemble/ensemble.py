"""The fitted members of a model, how their answers become one, and how that one is calibrated."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DeployError
from pipelines.inference.ensemble.calibration import CALIBRATIONS, calibrated, ready
from pipelines.inference.ensemble.combine import KINDS, combine_answers
from pipelines.inference.members.combination_nodes import EnsembleNode

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ensemble:
    """Predicts by asking every node in order, combining the answers and calibrating the result.

    Attributes
    ----------
    nodes
        In the order of ``members`` in ``model.json``; a node sees the answers of those before it.
    combine
        See ``combine_answers``.
    calibration
        See ``calibrated``; None: answers are given as they are.
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
            _check(model_dir, "calibrate the answers of", calibration["kind"], CALIBRATIONS)
            calibration = ready(calibration)
        folder = model_dir / "members"
        nodes = tuple(EnsembleNode.load(folder, entry, place) for place, entry in enumerate(described["members"]))
        return cls(nodes, combine, calibration)

    @property
    def members(self) -> tuple[EnsembleNode, ...]:
        """The nodes."""
        return self.nodes

    def answers(self, X: Array) -> list[Array]:
        """Return each node's own answer, in order; ``X`` (n, p)."""
        answers: list[Array] = []
        for node in self.nodes:
            answers.append(node.predict(X, answers))
        return answers

    def predict(self, X: Array) -> Array:
        """Predict; ``X`` (n, p) gives (n,) for regression, else (n, classes) probabilities."""
        return calibrated(self.calibration, combine_answers(self.combine, self.answers(X)))


def _check(model_dir: Path, what: str, kind: str, known: tuple[str, ...]) -> None:
    if kind not in known:
        raise DeployError(
            f"this release cannot {what} the model",
            where=str(model_dir / "model.json"),
            seen=kind,
            expected=", ".join(known),
            cure="serve the version with the release that trained it",
        )
