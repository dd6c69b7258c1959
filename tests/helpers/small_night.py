"""From a source to a registered version without a search: all data stages, and one small booster."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm

from pipelines import stages, storage
from pipelines.artifacts import Artifact, Night, Ref
from pipelines.cleaning.spec import CleanSpec
from pipelines.features.spec import FeatureSpec
from pipelines.inference.golden import write_golden
from pipelines.inference.manifest import write_manifest
from pipelines.inference.members.boosters import LightGBMMember
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.predictor import Predictor
from pipelines.inference.recipe.arrays import frame_of
from pipelines.inference.schema import ServeSchema
from pipelines.ingestion.spec import IngestSpec
from pipelines.ledger import Ledger
from pipelines.sampling.spec import SampleSpec
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.splitting.spec import SplitSpec

AS_OF = datetime(2026, 3, 1, 2, tzinfo=UTC)


def data_stages(
    root: Path, settings: Settings, night: Night, ingest: IngestSpec, clean: CleanSpec | None = None
) -> dict[str, Artifact]:
    """Run ingest, sample, clean, split and features; return their outputs by name."""
    made: dict[str, Artifact] = {}
    for name, stage, spec in (
        ("raw", "ingest", ingest),
        ("sampled", "sample", SampleSpec()),
        ("cleaned", "clean", clean or CleanSpec()),
        ("split", "split", SplitSpec()),
        ("features", "features", FeatureSpec()),
    ):
        out = root / name
        out.mkdir(parents=True)
        known = stages.get(stage)
        inputs = {wanted: made[wanted] for wanted in known.inputs}
        outcome = known.load().run(spec, night=night, settings=settings, out=out, **inputs)
        made[name] = Artifact(ref=Ref(uri=name, digest="d", stage=name, meta=outcome.meta), path=out)
    return made


def trained(
    root: Path, settings: Settings, model: ModelSpec, ingest: IngestSpec, clean: CleanSpec | None = None
) -> int:
    """Take a source through the data stages, learn a booster, sign and register it; return the version."""
    night = Night(model=model, night=root.name, as_of=AS_OF)
    made = data_stages(root, settings, night, ingest, clean)
    folder = root / "model"
    (folder / "members").mkdir(parents=True)
    (made["features"].path / "plan").rename(folder / "plan")
    plan = FeaturePlan.load(folder / "plan")
    train = storage.read_table(made["features"].path / "train").to_pandas()
    data = lightgbm.Dataset(train[plan.features].to_numpy(), train["_y"].to_numpy())
    params = {"objective": "binary", "num_threads": 1, "verbose": -1, "num_leaves": 15, "min_data_in_leaf": 5}
    entry = LightGBMMember(lightgbm.train(params, data, 40), 2).save(folder / "members", "0-lightgbm")
    report: dict[str, Any] = json.loads((made["cleaned"].path / "report.json").read_text())
    facts = {
        "format": 1,
        "model": model.name,
        "task": model.task,
        "target": model.target,
        "positive": model.positive,
        "classes": json.loads((made["features"].path / "columns.json").read_text())["classes"],
        "metric": model.judged_by,
        "features": plan.features,
        "members": [{**entry, "weight": 1.0}],
        "combine": {"kind": "single", "weights": [1.0]},
    }
    (folder / "model.json").write_text(json.dumps(facts))
    examples = frame_of(storage.read_table(made["cleaned"].path / "examples"))
    ServeSchema.build(model, plan, examples, report["profile"]).save(folder)
    write_golden(folder, examples)
    write_manifest(folder, signing_key(settings).read_bytes())
    uri, digest = storage.adopt_model(settings, folder, model.name)
    ledger = Ledger.open(settings)
    ledger.reserve(model.name, night.night, 1)
    ledger.advance(model.name, night.night, 1, state="staged", model_uri=uri, model_digest=digest, as_of=AS_OF)
    return ledger.assign_version(model.name, night.night, 1)


def predictor_of(settings: Settings, model: str, version: int) -> Predictor:
    """Load a registered version."""
    row = Ledger.open(settings).version(model, version)
    return ModelDirectory.open(storage.resolve(settings, row.model_uri), public_key(settings)).predictor
