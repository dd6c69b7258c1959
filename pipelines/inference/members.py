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
from pipelines.inference.linear import LinearMember
from pipelines.inference.trees import TreesMember

Array = NDArray[np.float64]
SMALL_ROWS = 256


class Member(Protocol):
    """What predicts, and can be written to and read from a model directory."""

    family: ClassVar[str]

    def predict(self, X: Array) -> Array:
        """Predict; (n,) for regression, else (n, classes) probabilities."""

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the member's file into ``folder`` and give its entry for ``model.json``."""


class LightGBMMember:
    """A LightGBM booster, stored as its own text format."""

    family: ClassVar[str] = "lightgbm"

    def __init__(self, booster: Any, classes: int) -> None:
        self.booster = booster
        self.classes = classes

    def predict(self, X: Array) -> Array:
        """Predict; starting threads costs more than it saves for few rows."""
        raw = np.asarray(self.booster.predict(X, num_threads=1 if len(X) <= SMALL_ROWS else 0), dtype=np.float64)
        if self.classes == 2:
            return np.column_stack([1.0 - raw, raw])
        return raw

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write LightGBM's text format."""
        path = folder / f"{stem}.txt"
        path.write_text(self.booster.model_to_string(num_iteration=-1))
        spec = {"family": self.family, "file": path.name, "classes": self.classes}
        return {**spec, "trees": int(self.booster.num_trees())}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> LightGBMMember:
        """Read what ``save`` wrote."""
        import lightgbm

        return cls(lightgbm.Booster(model_str=(folder / spec["file"]).read_text()), int(spec["classes"]))


LOADERS: dict[str, Any] = {
    "lightgbm": LightGBMMember.load,
    "extra_trees": TreesMember.load,
    "linear": LinearMember.load,
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
