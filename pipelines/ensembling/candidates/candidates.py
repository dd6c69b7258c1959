"""The trials that can become members: finished, finite, not constant, and affordable to refit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.algorithms.base import Array, Params
from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.metrics import METRICS
from pipelines.storage import read_table

MOST = 12
"""Candidates that weights are chosen among."""


@dataclass(frozen=True)
class Made:
    """How a candidate that is no trial is fitted on top of trials.

    Attributes
    ----------
    method
        The combination that it belongs to.
    kind
        ``bag``: fitted on resampled rows, ``bags`` times. ``member``: fitted on the columns and the scores of
        ``reads``. ``boosted``: numbers fitted to what ``base`` leaves unexplained, times ``step``; without a base to
        given scores.
    each
        Boosted: settings of each correction once the folds have settled them; classes need not grow alike.
    like
        Trials whose settings it has, or whose combination it imitates.
    """

    method: str
    kind: str
    reads: tuple[int, ...] = ()
    base: int | None = None
    step: float = 1.0
    bags: int = 1
    each: tuple[Params, ...] = ()
    like: tuple[int, ...] = ()

    @property
    def needs(self) -> tuple[int, ...]:
        """Numbers of the trials whose predictions it reads."""
        return (*self.reads, *(() if self.base is None else (self.base,)))


@dataclass(frozen=True)
class Candidate:
    """One trial, or what is fitted on top of trials.

    ``params`` are settled for a refit on all rows, ``raw`` as the search proposed them; ``oof`` is (n, outputs);
    ``device`` is where the trial ran and is asked for again, and of a member of the model where it was fitted.
    """

    number: int
    family: str
    params: Params
    oof: Array
    loss: float
    refit_seconds: float
    raw: Params = field(default_factory=dict)
    made: Made | None = None
    device: str = "cpu"

    @property
    def name(self) -> str:
        """How it is called in reports."""
        return f"trial {self.number + 1} {self.family}" if self.made is None else f"{self.made.method} {self.family}"

    @property
    def trials(self) -> tuple[int, ...]:
        """Numbers of the trials that it stands for: itself, or those that it is like and is fitted on top of."""
        return (self.number,) if self.made is None else (*self.made.like, *self.made.needs)

    def left_out(self, why: str) -> dict[str, Any]:
        """Return the entry of the list of what is not in the model."""
        number = {"number": self.number} if self.made is None else {"method": self.made.method}
        return {**number, "family": self.family, "why": why}


def label(entry: dict[str, Any]) -> str:
    """Return one line about something left out."""
    name = f"trial {entry['number'] + 1}" if "number" in entry else entry["method"]
    return f"{name} {entry.get('family', '')}".strip() + f": {entry['why']}"


def load_candidates(folder: Path, columns: Columns) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Read what the search kept; return the candidates, best first, and what was left out and why."""
    candidates: list[Candidate] = []
    left_out: list[dict[str, Any]] = []
    same: list[Candidate] = []
    folds = len(columns.folds)
    for row in read_table(folder / "trials").to_pylist():
        path = folder / "oof" / f"{row['number']:05d}.npy"
        if row["state"] in ("failed", "cut"):
            left_out.append({"number": row["number"], "family": row["family"], "why": row["error"]})
        if row["state"] != "done" or not path.exists():
            continue
        oof = np.load(path, allow_pickle=False)
        held = oof[columns.held_out]
        if oof.shape != (len(columns.y), columns.shape.outputs) or not np.isfinite(held).all():
            why = "its out-of-fold predictions are not finite or of the wrong shape"
            left_out.append({"number": row["number"], "family": row["family"], "why": why})
            continue
        learner = family(row["family"])
        candidate = Candidate(
            number=row["number"],
            family=row["family"],
            params=learner.settle(json.loads(row["params"]), json.loads(row["learned"])),
            oof=oof,
            loss=-METRICS[columns.shape.metric].sign * row["score"],
            refit_seconds=row["fit_seconds"] * folds / max(1, folds - 1),
            raw=json.loads(row["params"]),
            device=row["device"],
        )
        if constant(held, columns):
            same.append(candidate)
            left_out.append({"number": row["number"], "family": row["family"], "why": "its predictions are constant"})
        else:
            candidates.append(candidate)
    if not candidates and same:
        # Nothing can be learned from these columns: a constant prediction is then the best one, and the gate judges it.
        candidates, left_out = same, [entry for entry in left_out if "constant" not in entry["why"]]
    candidates.sort(key=lambda candidate: (candidate.loss, candidate.number))
    return _diverse(candidates), left_out


def constant(held: Array, columns: Columns) -> bool:
    """Whether a trial predicts all rows of every fold alike."""
    folds = columns.fold[columns.held_out]
    return all(bool((held[folds == fold] == held[folds == fold][:1]).all()) for fold in columns.folds)


def _diverse(candidates: list[Candidate]) -> list[Candidate]:
    """Return the best ones and, in any case, the best of each family."""
    firsts = {candidate.family: candidate.number for candidate in reversed(candidates)}
    kept = [c for c in candidates if c.number in firsts.values()]
    others = [c for c in candidates if c.number not in firsts.values()]
    chosen = kept + others[: max(0, MOST - len(kept))]
    return sorted(chosen, key=lambda candidate: (candidate.loss, candidate.number))
