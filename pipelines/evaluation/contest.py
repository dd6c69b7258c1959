"""The versions that tonight's model is compared with, on the same sealed rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.artifacts import Artifact, Night
from pipelines.evaluation.compare import Comparison
from pipelines.evaluation.judged import Answer, Version
from pipelines.evaluation.overlap import MAX_NAMED, trained_on
from pipelines.evaluation.verdict import Rival
from pipelines.metrics import METRICS
from pipelines.spec import UNSUPERVISED, ModelSpec

Array = NDArray[np.float64]
SEALED_BY = "sealed_by"
"""Fact of a split, and of a version: columns of the entity by which rows were sealed."""


def folder_of(version: Artifact) -> Path:
    """Return the model directory of a version that was handed in."""
    return version.path / "model" if (version.path / "model").is_dir() else version.path


def sealed_by(split: Artifact) -> tuple[str, ...]:
    """Return the columns of the entity by which the rows were sealed; none: by key or time."""
    return tuple(split.ref.meta.get(SEALED_BY) or ())


def kept(group: tuple[str, ...]) -> dict[str, list[str]]:
    """Return what the verdict keeps of it, for the nights to come."""
    return {SEALED_BY: list(group)} if group else {}


def compared(champion: Artifact | None, night: Night, group: tuple[str, ...] = ()) -> Path | None:
    """Return the live model directory, unless it is not compared, and may know all.

    That is one that is newer than the night, or was sealed by another entity than ``group``.
    """
    if champion is None or sealed_by(champion) != group:
        return None
    stamp = _moment(champion.ref.meta.get("as_of"))
    return None if stamp is not None and night.as_of < stamp else folder_of(champion)


def admit(
    version: Artifact, rows: pd.DataFrame, model: ModelSpec, group: tuple[str, ...] = (), *, unseen_only: bool = False
) -> tuple[Rival, Version | None]:
    """Open a version to be judged on the sealed rows; one that cannot be says why.

    Parameters
    ----------
    group
        Columns of the entity by which these rows were sealed.
    unseen_only
        Whether it leaves if it was trained on any of the rows.
    """
    if unseen_only:
        known = trained_on(folder_of(version), rows["_key"])
        if known.any():
            number, why = int(version.ref.meta["version"]), f"trained on {int(known.sum())} of tonight's sealed rows"
            return Rival(number, None, unfit=why), None
    meta = version.ref.meta
    rival = Rival(
        int(meta["version"]),
        _moment(meta.get("as_of")),
        trained_until=_moment(meta.get("trained_until")),
        rows_trained=meta.get("rows_trained"),
    )
    live = Version.load(folder_of(version))
    if live.identity != (model.key, model.time):
        return replace(rival, unfit="was sealed by another key or time: tonight's sealed rows trained it"), None
    if sealed_by(version) != group:
        return replace(rival, unfit="was sealed by another group: tonight's sealed rows trained it"), None
    missing = live.missing(rows)
    if missing:
        return replace(rival, unfit=f"needs columns that are gone: {', '.join(missing[:MAX_NAMED])}"), None
    theirs = str(live.facts["task"])
    if theirs != model.task and (UNSUPERVISED & {theirs, model.task} or bool(live.classes) != model.classifies):
        return replace(rival, unfit=f"answers another task, {theirs}"), None
    return rival, live


def enter(
    version: Artifact, rows: pd.DataFrame, model: ModelSpec, group: tuple[str, ...] = (), *, unseen_only: bool = False
) -> tuple[Rival, Answer | None]:
    """Let a version answer the sealed rows in its own classes; one that cannot says why and has no answer."""
    rival, live = admit(version, rows, model, group, unseen_only=unseen_only)
    if live is None:
        return rival, None
    answer = live.answer(rows)
    if not np.isfinite(answer).all():
        return replace(rival, unfit="gives answers that are not finite"), None
    return rival, Answer(answer, live.threshold, tuple(live.classes))


def enter_anchor(
    version: Artifact, rows: pd.DataFrame, model: ModelSpec, group: tuple[str, ...] = ()
) -> tuple[Rival, Answer | None]:
    """Let the best version ever answer; unlike the champion it leaves if it was trained on any of the rows."""
    return enter(version, rows, model, group, unseen_only=True)


def judged(rival: Rival, metric: str, truth: Array, answer: Answer | None, comparison: Comparison | None) -> Rival:
    """Return the rival with its score and the candidate's improvement over it."""
    if answer is None:
        return rival
    score = METRICS[metric].score(truth, answer.judged_by(metric), np.ones(len(truth)))
    return replace(rival, score=score, comparison=comparison)


def _moment(stamp: str | None) -> datetime | None:
    return datetime.fromisoformat(stamp) if stamp else None
