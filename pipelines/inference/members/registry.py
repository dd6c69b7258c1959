"""Fitted members of an ensemble, stored in open formats: LightGBM text or plain arrays, never pickle.

Each member predicts from the feature plan's columns: ``X`` (n, p) float64 with NaN, integer codes as float64, -1 for a
missing code. Predictions are (n,) for regression, else (n, classes) probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms.registry import stored_members
from pipelines.errors import DeployError

Array = NDArray[np.float64]


class Member(Protocol):
    """What predicts, and can be written to and read from a model directory."""

    family: ClassVar[str]

    def predict(self, X: Array) -> Array:
        """Predict; (n,) for regression, else (n, classes) probabilities."""

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the member's file into ``folder`` and return its entry for ``model.json``."""


class Rescaled:
    """A member that learned from classes weighted otherwise than they are; its probabilities say how they are.

    Weighting class k by w_k multiplies its odds by w_k (Elkan: The foundations of cost-sensitive learning, IJCAI 2001):
    so they are divided by it.

    Parameters
    ----------
    weights
        (classes,) how much more each class counted.
    """

    family: ClassVar[str] = ""

    def __init__(self, member: Member, weights: Array) -> None:
        self.member, self.weights = member, weights
        self.family = member.family  # type: ignore[misc]  # it stands in front of it

    def predict(self, X: Array) -> Array:
        """Predict (n, classes) probabilities."""
        y_pred = self.member.predict(X) / self.weights
        return np.asarray(y_pred / y_pred.sum(axis=1, keepdims=True))

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the member and add the weights to its entry."""
        return {**self.member.save(folder, stem), "class_weights": self.weights.tolist()}


def runtimes(facts: Mapping[str, Any]) -> list[str]:
    """Name the packages that the members of a ``model.json`` need beyond those that every version has."""

    def families(entry: Any) -> set[str]:
        if isinstance(entry, Mapping):
            own = {str(entry["family"])} if "family" in entry else set()
            return own.union(*(families(value) for value in entry.values()))
        return set().union(*(families(value) for value in entry)) if isinstance(entry, list) else set()

    named = families(facts)
    known = stored_members()
    return sorted({runtime for name in named & known.keys() if (runtime := known[name].runtime) is not None})


def load_member(directory: Path, spec: dict[str, Any]) -> Member:
    """Read one member from the folder that ``spec["file"]`` is relative to.

    Raises
    ------
    DeployError
        If the family is unknown to this release or the file leads out of the folder.
    """
    if Path(spec["file"]).name != spec["file"]:
        raise DeployError("a member's file leads out of its folder", where=str(directory), seen=spec["file"])
    known = stored_members()
    if spec["family"] not in known:
        raise DeployError(
            "this release cannot read a member of the model",
            where=str(directory / spec["file"]),
            seen=spec["family"],
            expected=", ".join(known),
            cure="serve the version with the release that trained it",
        )
    member: Member = known[spec["family"]].member_class().load(directory, spec)
    return Rescaled(member, np.asarray(spec["class_weights"])) if spec.get("class_weights") else member
