"""The versions that tonight's model is compared with, on the same sealed rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pandas as pd

from pipelines.artifacts import Artifact, Night
from pipelines.evaluation.comparison.overlap import MAX_NAMED, trained_on
from pipelines.evaluation.gate.verdict import Rival
from pipelines.inference.model_directory import ModelDirectory
from pipelines.spec import UNSUPERVISED, ModelSpec

SEALED_BY = "sealed_by"
"""Fact of a split, and of a version: columns of the entity by which rows were sealed."""


def directory_of(version: Artifact) -> ModelDirectory:
    """Return the model directory of a version that was handed in; whoever did has checked it against its manifest."""
    path = version.path / "model" if (version.path / "model").is_dir() else version.path
    return ModelDirectory(path, version.ref.digest)


def sealed_by(split: Artifact) -> tuple[str, ...]:
    """Return the columns of the entity by which the rows were sealed; none: by key or time."""
    return tuple(split.ref.meta.get(SEALED_BY) or ())


def kept(group: tuple[str, ...]) -> dict[str, list[str]]:
    """Return what the verdict keeps of it, for the nights to come."""
    return {SEALED_BY: list(group)} if group else {}


def compared(champion: Artifact | None, night: Night, group: tuple[str, ...] = ()) -> ModelDirectory | None:
    """Return the live model directory, unless it is not compared, and may know all.

    That is one that is newer than the night, or was sealed by another entity than ``group``.
    """
    if champion is None or sealed_by(champion) != group:
        return None
    stamp = _moment(champion.ref.meta.get("as_of"))
    return None if stamp is not None and night.as_of < stamp else directory_of(champion)


def admit(
    version: Artifact, rows: pd.DataFrame, model: ModelSpec, group: tuple[str, ...] = (), *, unseen_only: bool = False
) -> tuple[Rival, ModelDirectory | None]:
    """Open a version to be judged on the sealed rows; one that cannot be says why.

    Parameters
    ----------
    group
        Columns of the entity by which these rows were sealed.
    unseen_only
        Whether it leaves if it was trained on any of the rows.
    """
    live, meta = directory_of(version), version.ref.meta
    if unseen_only:
        known = trained_on(live, rows["_key"])
        if known.any():
            why = f"trained on {int(known.sum())} of tonight's sealed rows"
            return Rival(int(meta["version"]), None, unfit=why), None
    rival = Rival(
        int(meta["version"]),
        _moment(meta.get("as_of")),
        trained_until=_moment(meta.get("trained_until")),
        rows_trained=meta.get("rows_trained"),
    )
    if live.identity != (model.key, model.time):
        return replace(rival, unfit="was sealed by another key or time: tonight's sealed rows trained it"), None
    if sealed_by(version) != group:
        return replace(rival, unfit="was sealed by another group: tonight's sealed rows trained it"), None
    missing = live.predictor.missing_sources(rows)
    if missing:
        return replace(rival, unfit=f"needs columns that are gone: {', '.join(missing[:MAX_NAMED])}"), None
    theirs, classifies = str(live.facts["task"]), bool(live.predictor.classes)
    if theirs != model.task and (UNSUPERVISED & {theirs, model.task} or classifies != model.classifies):
        return replace(rival, unfit=f"has another task, {theirs}"), None
    return rival, live


def _moment(stamp: str | None) -> datetime | None:
    return datetime.fromisoformat(stamp) if stamp else None
