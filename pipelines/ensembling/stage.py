"""Stage ensemble: trials → signed model directory."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import storage
from pipelines.algorithms.table import Columns, load_columns
from pipelines.artifacts import Artifact, Night, Outcome, canonical_json, write_atomic
from pipelines.ensembling.build import Built, build, describe, report
from pipelines.ensembling.candidates import load_candidates
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import DeployError
from pipelines.inference.manifest import write_manifest
from pipelines.inference.members import load_member
from pipelines.inference.plan import FeaturePlan
from pipelines.inference.predictor import write_golden
from pipelines.inference.schema import ServeSchema
from pipelines.keyhash import TRAINING_KEYS, key_hash, save_keys
from pipelines.settings import Settings, signing_key

SPEC = EnsembleSpec
INPUTS = ("features", "tune", "cleaned")
FORMAT = 1
START_SECONDS = 2.5
"""Process start and imports of this stage, before its clock can be read."""
FINISH_SECONDS = 1.5
"""Choice of members, golden predictions, signing and publishing."""
LEAST_SECONDS = 2.0
"""For refits, even when the search has spent the budget."""
EXPORT_ROWS = 256
EXPORT_TOLERANCE = 1e-9


def run(
    spec: EnsembleSpec,
    *,
    night: Night,
    settings: Settings,
    out: Path,
    features: Artifact,
    tune: Artifact,
    cleaned: Artifact,
) -> Outcome:
    """Choose members on out-of-fold rows, refit them on all training rows and write the model directory.

    Parameters
    ----------
    features
        ``train/`` (its keys become the version's set of training keys), ``columns.json``, ``plan/``.
    tune
        ``trials/``, ``oof/``, ``search.json``.
    cleaned
        ``examples/``: raw rows for the golden predictions and the schema's example.
    """
    started = time.time()
    columns = load_columns(features.path, night.model)
    search = json.loads((tune.path / "search.json").read_text())
    candidates, left_out = load_candidates(tune.path, columns)
    remaining = search.get("remaining_seconds")
    seconds = None if remaining is None else max(LEAST_SECONDS, remaining - START_SECONDS - FINISH_SECONDS)
    built = build(candidates, columns, spec, seed=night.model.seed, cores=settings.cores, seconds=seconds)
    built.left_out[:0] = left_out
    model_dir = out / "model"
    write_model(model_dir, built, columns, night, features.path / "plan", cleaned.path / "examples")
    keys = storage.read_table(features.path / "train", ["_key"])["_key"]
    save_keys(model_dir / TRAINING_KEYS, key_hash(keys, 0))
    digest = write_manifest(model_dir, signing_key(settings).read_bytes())
    full = np.full((len(columns.y), columns.shape.outputs), np.nan)
    full[columns.held_out] = built.choice.oof.reshape(-1, columns.shape.outputs)
    np.save(out / "oof.npy", full, allow_pickle=False)
    facts = describe(built, columns)
    write_atomic(out / "report.json", json.dumps(facts, indent=1, sort_keys=True))
    size = sum(path.stat().st_size for path in model_dir.rglob("*") if path.is_file())
    score = facts["score"][facts["kind"]]
    report(
        f"{facts['kind']} of {len(facts['members'])}: {facts['metric']} {score:.6g} out of fold, "
        f"{size / 1e6:.1f} MB, {time.time() - started:.1f} s"
    )
    for entry in built.left_out:
        report(f"left out: trial {entry['number'] + 1} {entry['family']}: {entry['why']}")
    meta = {"digest": digest, "kind": facts["kind"], "members": len(facts["members"]), "oof_score": score}
    return Outcome(rows=len(columns.y), meta=meta, stats={**meta, "model_bytes": size, "left_out": built.left_out})


def write_model(model_dir: Path, built: Built, columns: Columns, night: Night, plan: Path, examples: Path) -> None:
    """Write everything but the signature; equal training gives equal bytes."""
    shutil.copytree(plan, model_dir / "plan")
    folder = model_dir / "members"
    folder.mkdir()
    sample = columns.X[:EXPORT_ROWS]
    members: list[dict[str, Any]] = []
    for position, (candidate, fitted) in enumerate(built.members):
        entry = fitted.save(folder, f"{position}-{candidate.family}")
        _check_export(folder, entry, fitted.predict(sample), sample)
        weight = built.combine["weights"][position]
        members.append({**entry, "weight": weight, "trial": candidate.number, "params": candidate.params})
    model = night.model
    described = {
        "format": FORMAT,
        "model": model.name,
        "task": model.task,
        "target": model.target,
        "positive": model.positive,
        "classes": list(columns.classes) or None,
        "metric": model.judged_by,
        "features": list(columns.features),
        "members": members,
        "combine": built.combine,
    }
    write_atomic(model_dir / "model.json", canonical_json(described))
    raw = storage.read_table(examples).to_pandas()
    ServeSchema.build(model, FeaturePlan.load(model_dir / "plan"), raw).save(model_dir)
    write_golden(model_dir, raw)


def _check_export(folder: Path, entry: dict[str, Any], expected: Any, sample: Any) -> None:
    """Raise unless the written member answers as the fitted one does."""
    found = load_member(folder, entry).predict(sample)
    scale = np.maximum(1.0, np.abs(expected))
    worst = float(np.max(np.abs(found - expected) / scale)) if len(expected) else 0.0
    if not worst <= EXPORT_TOLERANCE:
        raise DeployError(
            "a member answers differently once it is written and read back",
            where=entry["file"],
            seen=f"off by {worst:.3g}",
            expected=f"at most {EXPORT_TOLERANCE:g}",
            cure=f"leave the family {entry['family']} out of TuneSpec.families",
        )
