"""Members made of others: bags, members that correct another's prediction, members that read others' predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DeployError
from pipelines.inference.ensemble.combine import predictions_of, scores_of
from pipelines.inference.members.registry import Member, load_member

Array = NDArray[np.float64]
BAG, BOOSTED = "bag", "boosted"


@dataclass(frozen=True)
class EnsembleNode:
    """One node of an ensemble: predicts from the row and, for some, from the predictions of earlier nodes.

    Attributes
    ----------
    parts
        The members inside: one; several of a bag, whose predictions are averaged; or the corrections of a boosted
        node, one per score.
    reads
        Earlier nodes whose predictions, as scores, are appended to the columns of the parts.
    kind
        ``member``, ``bag`` or ``boosted``.
    base
        Boosted: the earlier node that is corrected; None: the corrections stand alone.
    step
        Boosted: what the corrections are multiplied by.
    classes
        Boosted: 0 for numbers.
    """

    parts: tuple[Member, ...]
    reads: tuple[int, ...] = ()
    kind: str = "member"
    base: int | None = None
    step: float = 1.0
    classes: int = 0
    inputs: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", (*self.reads, *(() if self.base is None else (self.base,))))

    @property
    def family(self) -> str:
        """Family of the parts."""
        return str(self.parts[0].family)

    def predict(self, X: Array, predictions: Sequence[Array] = ()) -> Array:
        """Predict rows, given the predictions of all earlier nodes."""
        if self.reads:
            X = np.concatenate([X, *(scores_of(predictions[index]) for index in self.reads)], axis=1)
        if self.kind == "member":
            return self.parts[0].predict(X)
        if self.kind == BAG:
            total = self.parts[0].predict(X)
            for part in self.parts[1:]:
                total = total + part.predict(X)
            return np.asarray(total / len(self.parts))
        scores = self.step * np.column_stack([part.predict(X) for part in self.parts])
        if self.base is not None:
            scores = scores + scores_of(predictions[self.base])
        return predictions_of(scores, self.classes)

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write the parts into ``folder`` and return the entry for ``model.json``."""
        reads = {"reads": list(self.reads)} if self.reads else {}
        if self.kind == "member":
            return {**self.parts[0].save(folder, stem), **reads}
        parts = [part.save(folder, f"{stem}-{index}") for index, part in enumerate(self.parts)]
        if self.kind == BAG:
            return {"family": BAG, "parts": parts, **reads}
        return {
            "family": BOOSTED,
            "parts": parts,
            "base": self.base,
            "step": self.step,
            "classes": self.classes,
            **reads,
        }

    @classmethod
    def load(cls, folder: Path, entry: dict[str, Any], index: int) -> EnsembleNode:
        """Read what ``save`` wrote as the node at ``index``.

        Raises
        ------
        DeployError
            If it reads the prediction of a node that is not before it, or a part cannot be read.
        """
        reads, base = tuple(int(value) for value in entry.get("reads", ())), entry.get("base")
        if not all(0 <= value < index for value in (*reads, *(() if base is None else (int(base),)))):
            raise DeployError(
                "a member reads the prediction of one that does not come before it",
                where=str(folder),
                seen=f"member {index} reads {[*reads, *([] if base is None else [base])]}",
                expected=f"indices below {index}",
                cure="serve another version; this one was not written by this program",
            )
        if entry["family"] not in (BAG, BOOSTED):
            return cls((load_member(folder, entry),), reads)
        parts = tuple(load_member(folder, part) for part in entry["parts"])
        if entry["family"] == BAG:
            return cls(parts, reads, BAG)
        return cls(
            parts, reads, BOOSTED, None if base is None else int(base), float(entry["step"]), int(entry["classes"])
        )
