"""A model without target: the best trial, fitted again on all rows.

Nothing is combined. What two fits call their clusters, or their components, has nothing in common, so there is no
prediction in between; and there are no out-of-fold predictions that a combination could be chosen by.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.build import Built
from pipelines.ensembling.candidates.candidates import Candidate, label
from pipelines.ensembling.combination.selection import Choice
from pipelines.ensembling.cost import measure
from pipelines.ensembling.fitting.refit import refit
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import SpecError
from pipelines.metrics import METRICS
from pipelines.spec import UNSUPERVISED
from pipelines.storage import read_table

SINGLE = "single"


def check_single(spec: EnsembleSpec, task: str) -> None:
    """Raise ``SpecError`` if something is declared that a model without target cannot have."""
    default = EnsembleSpec()
    if task not in UNSUPERVISED:
        return
    faults = [
        f"{name}={getattr(spec, name)!r}"
        for name, bad in (
            ("methods", spec.methods not in ((), default.methods)),
            ("refit", spec.refit == "folds"),
            ("calibration", spec.calibration not in ("auto", "none")),
            ("compress", "distil" in spec.compress),
        )
        if bad
    ]
    if faults:
        raise SpecError(
            f"a {task} model is one trial: nothing is combined, calibrated or distilled",
            where="EnsembleSpec",
            seen=", ".join(faults),
            expected="these settings at their defaults",
            cure="leave them out; clusters and components of two fits have nothing in common",
            faults=faults,
        )


def refit_best(
    folder: Path, columns: Columns, spec: EnsembleSpec, *, seed: int, cores: int, seconds: float | None
) -> Built:
    """Fit the best trial on all rows; the next one where that fails or is beyond the limits of the spec.

    Parameters
    ----------
    folder
        ``trials/`` of the search.
    seconds
        Time that this may take; None: not limited.

    Raises
    ------
    SpecError
        If none is left.
    """
    until = None if seconds is None else time.time() + seconds
    left_out: list[dict[str, Any]] = []
    for candidate in _best_first(folder, columns, left_out):
        fitted, failed = refit(
            [candidate],
            columns,
            seed=seed,
            cores=cores,
            threads=1 if seconds is None else cores,
            until=until,
            heaviest=candidate.number,
        )
        if failed:
            left_out.append(candidate.left_out(f"refit: {failed[candidate.number]}"))
            continue
        node = fitted[candidate.number].node(None, {}, 0)
        cost = measure(node)
        if cost.within(spec.max_row_ms, spec.max_bytes):
            choice = Choice({"kind": SINGLE, "weights": [1.0]}, candidate.oof, {SINGLE: candidate.loss})
            return Built([(candidate, node)], choice.combine, choice, left_out)
        why = f"{cost.bytes:,} bytes and {cost.row_ms:.3g} ms a row are beyond max_bytes or max_row_ms"
        left_out.append(candidate.left_out(why))
    raise SpecError(
        "no trial makes a model",
        where="EnsembleSpec.max_row_ms, EnsembleSpec.max_bytes",
        seen=f"{len(left_out)} trials, all left out",
        expected="at least one that can be fitted on all rows and is fast and small enough",
        cure="raise the limits, or give TuneSpec.families one that makes smaller members, for example kmeans",
        faults=[label(entry) for entry in left_out],
    )


def _best_first(folder: Path, columns: Columns, left_out: list[dict[str, Any]]) -> list[Candidate]:
    """Read the trials that ended well, best first; name the others in ``left_out``."""
    found = []
    folds = len(columns.folds)
    for row in read_table(folder / "trials").to_pylist():
        if row["state"] in ("failed", "cut"):
            left_out.append({"number": row["number"], "family": row["family"], "why": row["error"]})
        if row["state"] != "done":
            continue
        raw = json.loads(row["params"])
        found.append(
            Candidate(
                number=row["number"],
                family=row["family"],
                params=family(row["family"]).settle(raw, json.loads(row["learned"])),
                oof=np.empty((int(columns.held_out.sum()), 0)),
                loss=-METRICS[columns.shape.metric].sign * row["score"],
                refit_seconds=row["fit_seconds"] * folds / max(1, folds - 1),
                raw=raw,
            )
        )
    return sorted(found, key=lambda candidate: (candidate.loss, candidate.number))
