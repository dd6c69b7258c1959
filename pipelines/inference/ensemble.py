"""The fitted members and how their answers become one: weighted average or stacking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DeployError
from pipelines.inference.linear import softmax
from pipelines.inference.members import Member, load_member

Array = NDArray[np.float64]
FLOOR = 1e-6
"""Smallest probability of a member that stacking takes the logarithm of."""
KINDS = ("single", "weighted_average", "stacking")


@dataclass(frozen=True)
class Ensemble:
    """Predicts by asking every member and combining the answers.

    ``combine`` is {"kind", "weights", "intercept"}: ``weights`` one per member, ``intercept`` for stacking alone (one
    number, or one per class).
    """

    members: tuple[Member, ...]
    combine: dict[str, Any]

    @classmethod
    def load(cls, model_dir: Path) -> Ensemble:
        """Read the members that ``model.json`` lists.

        Raises
        ------
        DeployError
            If this release cannot read a member or the way of combining.
        """
        described = json.loads((model_dir / "model.json").read_text())
        combine = described["combine"]
        if combine["kind"] not in KINDS:
            raise DeployError(
                "this release cannot combine the members of the model",
                where=str(model_dir / "model.json"),
                seen=combine["kind"],
                expected=", ".join(KINDS),
                cure="serve the version with the release that trained it",
            )
        return cls(tuple(load_member(model_dir / "members", spec) for spec in described["members"]), combine)

    def predict(self, X: Array) -> Array:
        """Predict; ``X`` (n, p) gives (n,) for regression, else (n, classes) probabilities."""
        return combine_answers(self.combine, [member.predict(X) for member in self.members])


def combine_answers(combine: dict[str, Any], answers: Sequence[Array]) -> Array:
    """Combine the members' answers, each (n,) or (n, classes).

    Weighted average: sum of weight × answer. Stacking of numbers: intercept + sum of weight × answer. Stacking of
    probabilities: softmax of intercept + sum of weight × log probability, that is a multinomial logistic regression
    on the members' log probabilities with one weight per member.
    """
    weights = combine["weights"]
    if combine["kind"] != "stacking":
        total = weights[0] * answers[0]
        for weight, answer in zip(weights[1:], answers[1:], strict=True):
            total = total + weight * answer
        return np.asarray(total)
    total = np.broadcast_to(np.asarray(combine["intercept"], dtype=np.float64), answers[0].shape)
    if answers[0].ndim == 1:
        for weight, answer in zip(weights, answers, strict=True):
            total = total + weight * answer
        return np.asarray(total)
    for weight, answer in zip(weights, answers, strict=True):
        total = total + weight * np.log(np.clip(answer, FLOOR, 1.0))
    return softmax(total)
