"""Stage ensemble: trials → signed model directory."""

from __future__ import annotations

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import storage
from pipelines.algorithms.training_data import Columns, load_columns
from pipelines.artifacts import Artifact, Night, Outcome, canonical_json, write_atomic, write_json
from pipelines.ensembling.build import Built, build
from pipelines.ensembling.candidates.candidates import label, load_candidates
from pipelines.ensembling.combination.threshold import check_threshold, threshold
from pipelines.ensembling.fitting.gpu_fits import gpus_for
from pipelines.ensembling.pareto import draw
from pipelines.ensembling.report import describe
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.ensembling.unsupervised import check_single, refit_best
from pipelines.errors import DeployError
from pipelines.inference.golden import write_golden
from pipelines.inference.manifest import write_manifest
from pipelines.inference.members.combination_nodes import EnsembleNode
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.predictor import Predictor
from pipelines.inference.recipe.arrays import frame_of
from pipelines.inference.schema import ServeSchema
from pipelines.row_hash import TRAINING_KEYS, key_hash, save_keys
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings

log = logging.getLogger(__name__)

FORMAT = 1
START_SECONDS = 2.5
"""Process start and imports of this stage, before its clock can be read."""
FINISH_SECONDS = 1.5
"""Choice of members, golden predictions, signing and publishing."""
LEAST_SECONDS = 2.0
"""For refits, even when the search has spent the budget."""
EXPORT_ROWS = 256
EXPORT_TOLERANCE = 1e-9
TIMED_ROWS = 100
"""Golden rows that the time per row is measured on."""


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

    Without a target the best trial is the model.

    Parameters
    ----------
    features
        ``train/`` (its keys become the version's set of training keys), ``columns.json``, ``plan/``.
    tune
        ``trials/``, ``oof/``, ``search.json``.
    cleaned
        ``examples/``: raw rows for the golden predictions and the schema's example.
    """
    check_threshold(spec, night.model.task)
    check_single(spec, night.model.task)
    started = time.time()
    columns = load_columns(features.path, night.model)
    search = json.loads((tune.path / "search.json").read_text())
    remaining = search.get("remaining_seconds")
    seconds = None if remaining is None else max(LEAST_SECONDS, remaining - START_SECONDS - FINISH_SECONDS)
    model_dir = out / "model"
    if night.model.supervised:
        candidates, left_out = load_candidates(tune.path, columns)
        wanted, before = any(candidate.device != "cpu" for candidate in candidates), time.time()
        with gpus_for(settings, columns, wanted=wanted) as gpus:
            left = None if seconds is None else max(LEAST_SECONDS, seconds - (time.time() - before))
            built = build(
                candidates, columns, spec, seed=night.model.seed, cores=settings.cores, seconds=left, gpus=gpus
            )
        built.left_out[:0] = left_out
    else:
        built = refit_best(tune.path, columns, spec, seed=night.model.seed, cores=settings.cores, seconds=seconds)
    cut = _threshold(spec, built, columns, night.model.positive)
    write_model(model_dir, built, columns, night, features.path / "plan", cleaned.path, cut)
    keys = storage.read_table(features.path / "train", ["_key"])["_key"]
    save_keys(model_dir / TRAINING_KEYS, key_hash(keys, 0))
    digest = write_manifest(model_dir, signing_key(settings).read_bytes())
    full = np.full((len(columns.y), columns.shape.outputs), np.nan)
    full[columns.held_out] = _honest(built).reshape(int(columns.held_out.sum()), columns.shape.outputs)
    np.save(out / "oof.npy", full, allow_pickle=False)
    facts = {**describe(built, columns), "threshold": cut}
    if night.model.supervised:  # without a target there is no choice to show
        draw(out / "pareto.png", built.choice.points, built.choice.point, columns.shape.metric, night.model.name)
    write_json(out / "report.json", facts, sort_keys=True, ensure_ascii=True)
    size = sum(path.stat().st_size for path in model_dir.rglob("*") if path.is_file())
    score = facts["oof_score"]
    log.info(
        f"{facts['kind']} of {len(facts['members'])}: {facts['metric']} {score:.6g} out of fold, "
        f"{size / 1e6:.1f} MB, {time.time() - started:.1f} s"
    )
    for entry in built.left_out:
        log.info(f"left out: {label(entry)}")
    meta = {"digest": digest, "kind": facts["kind"], "members": len(facts["members"]), "oof_score": score}
    stats = {
        **meta,
        "model_bytes": size,
        "left_out": built.left_out,
        "certificate": built.certificate,
        "trials": sorted({number for candidate, _ in built.members for number in candidate.trials}),
    }
    made = ModelDirectory.open(model_dir, public_key(settings))
    return Outcome(rows=len(columns.y), meta=meta, stats={**stats, **timed(made.predictor)})


def _honest(built: Built) -> Any:
    """Return the out-of-fold predictions, calibrated on rows of other folds."""
    return built.choice.oof if built.calibration is None else built.calibration.oof


def _threshold(spec: EnsembleSpec, built: Built, columns: Columns, positive: str | None) -> dict[str, Any] | None:
    if positive is None:
        return None
    held, index = columns.held_out, columns.classes.index(positive)
    return threshold(spec, _honest(built)[:, index], columns.y[held] == index, columns.w[held], columns.fold[held])


def timed(predictor: Predictor) -> dict[str, float]:
    """Measure how long one raw row takes, in milliseconds; for the ledger, never for the model directory."""
    rows = predictor.golden["rows"][:TIMED_ROWS]
    if not rows:
        return {}
    predictor.predict_rows(rows[:1])
    seconds = []
    for row in rows:
        began = time.perf_counter()
        predictor.predict_rows([row])
        seconds.append(time.perf_counter() - began)
    return {"row_ms_p50": float(np.quantile(seconds, 0.5)) * 1e3, "row_ms_p99": float(np.quantile(seconds, 0.99)) * 1e3}


def write_model(
    model_dir: Path, built: Built, columns: Columns, night: Night, plan: Path, cleaned: Path, cut: dict[str, Any] | None
) -> None:
    """Write everything but the signature; equal training gives equal bytes."""
    report = json.loads((cleaned / "report.json").read_bytes())
    written = report.get("written", {})
    shutil.copytree(plan, model_dir / "plan")
    folder = model_dir / "members"
    folder.mkdir()
    sample = columns.X[:EXPORT_ROWS]
    members: list[dict[str, Any]] = []
    predictions: list[Any] = []
    for position, (candidate, node) in enumerate(built.members):
        entry = node.save(folder, f"{position}-{candidate.family}")
        predictions.append(node.predict(sample, predictions))
        _check_export(folder, entry, position, predictions, sample)
        facts = {"weight": built.combine["weights"][position], "params": candidate.params, "device": candidate.device}
        who = {"trial": candidate.number} if candidate.made is None else {"method": candidate.made.method}
        members.append({**entry, **facts, **who})
    model = night.model
    described = {
        "format": FORMAT,
        "model": model.name,
        "task": model.task,
        "target": model.target or None,
        "positive": model.positive,
        "classes": list(columns.classes) or None,
        **({"written": written} if written else {}),
        "metric": model.judged_by,
        "features": list(columns.features),
        "members": members,
        "combine": built.combine,
        **({"calibration": built.calibration.applied} if built.calibration and built.calibration.applied else {}),
        **({"threshold": cut} if cut else {}),
    }
    write_atomic(model_dir / "model.json", canonical_json(described))
    write_atomic(model_dir / "certificate.json", canonical_json(built.certificate))
    raw = frame_of(storage.read_table(cleaned / "examples"))
    ServeSchema.build(model, FeaturePlan.load(model_dir / "plan"), raw, report.get("profile")).save(model_dir)
    write_golden(model_dir, raw)


def _check_export(folder: Path, entry: dict[str, Any], index: int, predictions: list[Any], sample: Any) -> None:
    """Raise unless the written member predicts as the fitted one does."""
    expected = predictions[index]
    found = EnsembleNode.load(folder, entry, index).predict(sample, predictions[:index])
    scale = np.maximum(1.0, np.abs(expected))
    worst = float(np.max(np.abs(found - expected) / scale)) if len(expected) else 0.0
    if not worst <= EXPORT_TOLERANCE:
        raise DeployError(
            "a member predicts differently once it is written and read back",
            where=f"members/{index}",
            seen=f"off by {worst:.3g}",
            expected=f"at most {EXPORT_TOLERANCE:g}",
            cure=f"leave the family {entry['family']} out of TuneSpec.families",
        )
