"""Fitted members of an ensemble, stored in open formats: LightGBM text or plain arrays, never pickle.

Each member predicts from the feature plan's columns: ``X`` (n, p) float64 with NaN, integer codes as float64, -1 for a
missing code. The answer is (n,) for regression, else (n, classes) probabilities.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DeployError
from pipelines.inference.boosters import LightGBMMember, XGBoostMember
from pipelines.inference.catboost import CatBoostMember
from pipelines.inference.kernels import SvmMember
from pipelines.inference.linear import LinearMember
from pipelines.inference.neighbours import NeighboursMember
from pipelines.inference.network import NetworkMember
from pipelines.inference.trees import AdaBoostMember, DecisionTreeMember, RandomForestMember, TreesMember

Array = NDArray[np.float64]


class Member(Protocol):
    """What predicts, and can be written to and read from a model directory."""

    family: ClassVar[str]

    def predict(self, X: Array) -> Array:
        """Predict; (n,) for regression, else (n, classes) probabilities."""

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the member's file into ``folder`` and give its entry for ``model.json``."""


LOADERS: dict[str, Any] = {
    "lightgbm": LightGBMMember.load,
    "xgboost": XGBoostMember.load,
    "catboost": CatBoostMember.load,
    "extra_trees": TreesMember.load,
    "random_forest": RandomForestMember.load,
    "decision_tree": DecisionTreeMember.load,
    "adaboost": AdaBoostMember.load,
    "linear": LinearMember.load,
    "svm": SvmMember.load,
    "nearest_neighbours": NeighboursMember.load,
    "mlp": NetworkMember.load,
}


def load_member(directory: Path, spec: dict[str, Any]) -> Member:
    """Read one member from the folder that ``spec["file"]`` is relative to.

    Raises
    ------
    DeployError
        If the family is unknown to this release or the file leads out of the folder.
    """
    if Path(spec["file"]).name != spec["file"]:
        raise DeployError("a member's file leads out of its folder", where=str(directory), seen=spec["file"])
    loader = LOADERS.get(spec["family"])
    if loader is None:
        raise DeployError(
            "this release cannot read a member of the model",
            where=str(directory / spec["file"]),
            seen=spec["family"],
            expected=", ".join(LOADERS),
            cure="serve the version with the release that trained it",
        )
    member: Member = loader(directory, spec)
    return member
