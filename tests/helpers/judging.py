"""Model directories without a search, good and planted bad ones, and the stage that judges them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import learning
import numpy as np

from pipelines import storage
from pipelines.algorithms.base import FitContext
from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns, load_columns
from pipelines.artifacts import Artifact, Night, Outcome, canonical_json, write_atomic
from pipelines.evaluation import stage
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.inference.golden import write_golden
from pipelines.inference.manifest import write_manifest
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.schema import ServeSchema
from pipelines.row_hash import TRAINING_KEYS, key_hash, save_keys
from pipelines.secret_files import signing_key
from pipelines.settings import Settings


def made(
    folder: Path,
    settings: Settings,
    stages: dict[str, Artifact],
    night: Night,
    *,
    name: str = "lightgbm",
    labels: Any = None,
    rows: Any = None,
    spoil: Any = None,
    **changes: Any,
) -> Artifact:
    """Write a signed model directory of one member.

    Parameters
    ----------
    labels
        Gives other labels to learn from; of ``Columns``, (n,).
    rows
        Gives the rows to learn from; of ``Columns``, (n,) booleans.
    spoil
        Changes the fitted member before it is written.
    changes
        Entries of ``model.json``.
    """
    columns: Columns = load_columns(stages["features"].path, night.model)
    if labels is not None:
        columns = dataclasses.replace(columns, y=labels(columns))
    keep = np.ones(len(columns.y), np.bool_) if rows is None else rows(columns)
    shape = dataclasses.replace(columns.shape, rows=int(keep.sum()))
    learner = family(name)
    params = learner.default(shape)
    if name == "lightgbm":
        params |= {"iterations": 40, "learning_rate": 0.1}
    fitted = learner.fit(params, columns.part(keep), None, shape, FitContext())
    if spoil is not None:
        spoil(fitted.member)
    model_dir = folder / "model"
    shutil.copytree(stages["features"].path / "plan", model_dir / "plan")
    (model_dir / "members").mkdir()
    entry = fitted.save(model_dir / "members", f"0-{name}")
    model = night.model
    described = {
        "format": 1,
        "model": model.name,
        "task": model.task,
        "target": model.target,
        "positive": model.positive,
        "classes": list(columns.classes) or None,
        "metric": model.judged_by,
        "features": list(columns.features),
        "members": [{**entry, "weight": 1.0, "trial": 0, "params": params}],
        "combine": {"kind": "single", "weights": [1.0], "intercept": None},
        **changes,
    }
    write_atomic(model_dir / "model.json", canonical_json(described))
    raw = storage.read_table(stages["cleaned"].path / "examples").to_pandas()
    ServeSchema.build(model, FeaturePlan.load(model_dir / "plan"), raw).save(model_dir)
    if spoil is None:
        write_golden(model_dir, raw.iloc[:20])
    keys = storage.read_table(stages["features"].path / "train", ["_key"])["_key"]
    save_keys(model_dir / TRAINING_KEYS, key_hash(keys, 0)[keep])
    write_manifest(model_dir, signing_key(settings).read_bytes())
    return learning.artifact("ensemble", folder)


def live(version: Artifact, number: int, night: Night, **meta: Any) -> Artifact:
    """Return a model directory as the champion or the anchor."""
    ref = version.ref.model_copy(update={"meta": {"version": number, "as_of": night.as_of.isoformat(), **meta}})
    return Artifact(ref=ref, path=version.path / "model")


def judge(
    folder: Path,
    settings: Settings,
    stages: dict[str, Artifact],
    night: Night,
    candidate: Artifact,
    *,
    champion: Artifact | None = None,
    anchor: Artifact | None = None,
    **spec: Any,
) -> Outcome:
    """Run the stage; quick unless the spec says otherwise."""
    folder.mkdir(parents=True)
    declared = EvaluateSpec(**{"plots": False, "explain_rows": 0, "bootstrap": 300, **spec})
    inputs = {"ensemble": candidate, "split": stages["split"]}
    return stage.run(declared, night=night, settings=settings, out=folder, champion=champion, anchor=anchor, **inputs)
