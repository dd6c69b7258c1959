"""A tiny real model: a plan with a look-up, a LightGBM member, golden rows and a signed manifest, in a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.artifacts import Artifact, Night, Ref, canonical_json
from pipelines.inference.enrichment.request import Computed, Enrichment, Lookup
from pipelines.inference.golden import write_golden
from pipelines.inference.manifest import write_manifest
from pipelines.inference.members.boosters import LightGBMMember
from pipelines.inference.operations.base import Output
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.inference.schema import ServeSchema
from pipelines.secret_files import signing_key
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

TOWNS = ("Bern", "Genève", "Łódź")


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Make raw rows as a caller sends them: text and numbers, missing and unreadable cells."""
    random = np.random.default_rng(seed)
    amount = random.normal(100, 30, count).round(2)
    text = [str(value) for value in amount]
    for index in range(0, count, 9):
        text[index] = ("?", "", "n/a", "much")[index % 4]
    towns = [f" {TOWNS[index]} " for index in random.integers(0, len(TOWNS), count)]
    return pd.DataFrame({"id": np.arange(count), "amount": text, "town": towns, "age": random.integers(18, 90, count)})


def make_model_dir(folder: Path, settings: Settings, seed: int = 0, **declared: Any) -> Path:
    """Train on generated rows and write a signed model directory into ``folder``; another seed, another model."""
    model = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",), **declared)
    raw = rows(600, seed)
    names = ("amount", "town", "age", "people", "left")
    recipe = RowRecipe(tuple(Column(name, "category" if name == "town" else "number") for name in names))
    towns = pa.table({"_key": TOWNS, "people": [134_591, 203_951, 652_015]})
    added = Enrichment(
        (Lookup("towns", ("town",), ("people",), towns, "2026-03-01T00:00:00Z"),), (Computed("left", "100 - age"),)
    )
    codes = Codes(("town",), (Output("town", "code", len(TOWNS) + 1),), TOWNS)
    plan = FeaturePlan(recipe, (codes,), names, added)
    matrix = plan.transform(recipe.apply(added.apply(raw))[0])
    label = (np.nan_to_num(matrix[:, 0], nan=100.0) + 10 * matrix[:, 1] + seed > 105).astype(int)
    params = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "verbosity": -1, "seed": seed}
    booster = lightgbm.train(params, lightgbm.Dataset(matrix, label), num_boost_round=10)
    (folder / "members").mkdir(parents=True)
    entry = LightGBMMember(booster, 2).save(folder / "members", "0-lightgbm")
    plan.save(folder / "plan")
    ServeSchema.build(model, plan, raw).save(folder)
    facts: dict[str, Any] = {
        "format": 1,
        "model": model.name,
        "task": model.task,
        "target": model.target,
        "positive": model.positive,
        "classes": ["no", "yes"],
        "metric": "roc_auc",
        "features": plan.features,
        "members": [entry],
        "combine": {"kind": "single", "weights": [1.0], "intercept": None},
    }
    (folder / "model.json").write_text(canonical_json(facts))
    write_golden(folder, raw.head(200))
    write_manifest(folder, signing_key(settings).read_bytes())
    return folder


def as_inputs(
    root: Path, settings: Settings, seed: int = 0, private: dict[str, str] | None = None, **meta: Any
) -> dict[str, Artifact]:
    """Lay out what register takes: the results of ensemble and evaluate."""
    ensemble, evaluate = root / f"ensemble-{seed}", root / f"evaluate-{seed}"
    make_model_dir(ensemble / "model", settings, seed, private=private or {})
    (evaluate / "plots").mkdir(parents=True)
    (evaluate / "plots" / "roc.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (evaluate / "card.html").write_text("<!doctype html><title>model card</title>")
    (evaluate / "metrics.json").write_text(json.dumps({"sealed": {"roc_auc": 0.91}, "slices": {"town=Łódź": 0.9}}))
    verdict = {"verdict": "promoted", "score": 0.91, "baseline": 0.5, "metric": "roc_auc", **meta}
    return {
        "ensemble": Artifact(ref=Ref(uri="e", digest=f"e{seed}", stage="ensemble"), path=ensemble),
        "evaluate": Artifact(ref=Ref(uri="v", digest=f"v{seed}", stage="evaluate", meta=verdict), path=evaluate),
    }


def take_to_bento(root: Path, settings: Settings, night: Night, seed: int = 0, **meta: Any) -> dict[str, Artifact]:
    """Run register and the steps of package for real and return what deploy takes."""
    from pipelines.packaging import stage as package
    from pipelines.packaging.configure import stage as configure
    from pipelines.packaging.spec import PackageSpec
    from pipelines.packaging.upload import stage as upload
    from pipelines.registry import stage as register
    from pipelines.registry.spec import RegisterSpec

    done: dict[str, Artifact] = {}
    for stage, spec, takes in (
        (register, RegisterSpec(), ()),
        (configure, PackageSpec(), ("register",)),
        (package, PackageSpec(), ("configure", "register")),
        (upload, PackageSpec(), ("package", "register")),
    ):
        name = stage.__name__.split(".")[-2].replace("registry", "register").replace("packaging", "package")
        out = root / f"{name}-{seed}"
        out.mkdir()
        inputs = {name: done[name] for name in takes} or as_inputs(root, settings, seed, **meta)
        outcome = stage.run(spec, night=night, settings=settings, out=out, **inputs)
        done[name] = Artifact(ref=Ref(uri=name, digest=f"{name}{seed}", stage=name, meta=outcome.meta), path=out)
    return {name: done[name] for name in ("register", "upload")}


def release(spec: Any, night: Night, settings: Settings, out: Path, done: dict[str, Artifact]) -> Any:
    """Run the steps of deploy one after the other, as a night does; return the outcome of the last."""
    from pipelines.deployment import stage as deploy
    from pipelines.deployment.health import stage as health
    from pipelines.deployment.install import stage as install
    from pipelines.deployment.start import stage as start
    from pipelines.deployment.verify import stage as verify

    name, last = "upload", done["upload"]
    for stage in (install, start, health, verify, deploy):
        outcome = stage.run(spec, night=night, settings=settings, out=out, register=done["register"], **{name: last})
        name = stage.__name__.split(".")[-2]
        last = Artifact(ref=Ref(uri=name, digest=name, stage=name, meta=outcome.meta), path=out)
    return outcome
