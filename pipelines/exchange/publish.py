"""A signed model directory becomes a version: numbered, in MLflow, packaged, and proved through the gateway's code."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from pipelines.artifacts import Night, Ref, night_slug
from pipelines.deployment.proof import prove
from pipelines.deployment.serve import private_service
from pipelines.errors import SpecError
from pipelines.gateway.private import private_gateway
from pipelines.housekeeping.imports import end_import, import_lock, killed_imports
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.ledger.nights import IMPORTED
from pipelines.locks import deletion_lock, wait_for_lock
from pipelines.packaging.build import bento_tag, build_bento, store_bento
from pipelines.registry.aliases import reconcile
from pipelines.registry.facts import publication
from pipelines.registry.upkeep import register_in_mlflow
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.storage import adopt_model, local_path, publish, resolve, stage_folder

EVALUATE = "evaluate"
READY_SECONDS = 60.0
GOLDEN_ROWS, TOLERANCE = 200, 1e-9

log = logging.getLogger(__name__)

Proof = Callable[[httpx.Client], Any]


@dataclass(frozen=True)
class Published:
    """What became of an import.

    Parameters
    ----------
    golden_rows
        Predictions that the service repeated.
    """

    model: str
    version: int
    digest: str
    golden_rows: int


def publish_version(
    settings: Settings,
    ledger: Ledger,
    model: ModelSpec,
    folder: Path,
    *,
    actor: str,
    facts: dict[str, Any],
    prove_more: Proof | None = None,
    evaluation: Path | None = None,
) -> Published:
    """Make a signed model directory the next version of a model; it is kept, not live.

    Parameters
    ----------
    facts
        Of the verdict: ``sentence``, ``imported``, and ``metric``, ``score``, ``baseline`` where they are known.
    prove_more
        Called with a client of a gateway of its own for the new service, before the version counts as registered.
    evaluation
        Folder with what a stage evaluate leaves: model card, scores, and what the monitor compares traffic with.

    Raises
    ------
    DeployError
        The service does not come up or predicts otherwise; the version is deleted then, its number stays taken.
    """
    now = datetime.now(UTC)
    if (known := ledger.model(model.name)) is not None:  # its nights say what the model is
        model = ModelSpec(**known.spec)
    night = Night(model=model, night=f"import__{now.isoformat()}", as_of=now, fence=1)
    verdict = {"verdict": "kept", "metric": model.judged_by, **facts}
    for left in killed_imports(settings, ledger, model.name):
        log.warning(f"{left.what}: {left.why}; it is taken back")
        left.remove_from(settings)
    with wait_for_lock(import_lock(settings, night.night)):  # free again however this process ends
        uri, digest = adopt_model(settings, folder, model.name)
        ledger.open_night(night, IMPORTED, params=facts.get("imported"))
        try:
            version, proved = _registered(settings, ledger, night, uri, verdict, prove_more, evaluation)
        except BaseException as error:
            row = ledger.night(model.name, night.night)
            assert row is not None  # it was opened a moment ago
            with deletion_lock(settings.run_dir):
                end_import(settings, ledger, row, actor, f"its import failed: {error}"[:500])
            raise
        ledger.close_night(model.name, night.night, "success", {**verdict, "version": version})
    import_lock(settings, night.night).unlink(missing_ok=True)
    reconcile(settings, ledger, model.name, moved=False)
    log.info(f"{model.name} version {version} imported by {actor}")
    return Published(model.name, version, digest, proved)


def _registered(
    settings: Settings,
    ledger: Ledger,
    night: Night,
    uri: str,
    verdict: dict[str, Any],
    prove_more: Proof | None,
    evaluation: Path | None,
) -> tuple[int, int]:
    """Prove and register a model directory; return its version, and how many golden predictions were repeated."""
    name = night.model.name
    opened = ModelDirectory.open(resolve(settings, uri), public_key(settings))
    ledger.reserve(name, night.night, night.fence)
    ledger.advance(
        name, night.night, night.fence, state="staged", model_uri=uri, model_digest=opened.digest,
        as_of=night.as_of, verdict=verdict, metric=verdict["metric"] or night.model.judged_by,
        score=verdict.get("score"), baseline=verdict.get("baseline"),
    )  # fmt: skip
    version = ledger.assign_version(name, night.night, night.fence)
    ledger.keep_columns(name, opened.schema.names)
    _package(settings, ledger, night, version, opened)
    proved = _prove(settings, version, opened, prove_more)
    judged = (
        settings.staging / "no evaluation" if evaluation is None else _evaluated(settings, ledger, night, evaluation)
    )
    what = publication(night, version, opened, tags={}, verdict=verdict, evaluation=judged, lineage={}, cost={})
    run, _ = register_in_mlflow(settings, ledger, what)
    ledger.advance(name, night.night, night.fence, state="registered", mlflow_run=run)
    return version, proved


def require_same_task(ledger: Ledger, spec: ModelSpec) -> None:
    """Raise if the model is there and predicts something else, or reports the probability of another label."""
    row = ledger.model(spec.name)
    for field, words in (("task", "task"), ("positive", "positive label")):
        seen, expected = getattr(spec, field), row.spec.get(field) if row is not None else None
        if row is not None and seen != expected:
            raise SpecError(
                f"the model is there and has another {words}",
                where=spec.name,
                seen=seen,
                expected=expected,
                cure="import it under another name: --model, or correct the schema",
            )


def _package(settings: Settings, ledger: Ledger, night: Night, version: int, opened: ModelDirectory) -> None:
    name = night.model.name
    work = stage_folder(settings, f"{name}-import")
    try:
        facts: dict[str, Any] = {"model": name, "version": version, "digest": opened.digest}
        build_bento(settings, model_dir=opened.path, folder=work / "bento", **facts)
        store_bento(settings, built=work / "bento", **facts)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    ledger.advance(name, night.night, night.fence, bento_uri=bento_tag(name, version, opened.digest))


def _evaluated(settings: Settings, ledger: Ledger, night: Night, folder: Path) -> Path:
    """Publish what a stage evaluate leaves as that stage's result; return where it lies."""
    name = night.model.name
    fence = ledger.begin_stage(name, night.night, EVALUATE)
    uri = f"nights/{name}/{night_slug(night.night)}/{EVALUATE}-{fence}"
    target = local_path(settings, uri)
    staging = stage_folder(settings, f"{name}-{EVALUATE}")
    shutil.copytree(folder, staging, dirs_exist_ok=True)
    digest = publish(staging, target, stage=EVALUATE, settings=settings)
    ref = Ref(uri=uri, digest=digest, stage=EVALUATE)
    ledger.finish_stage(name, night.night, EVALUATE, fence, state="done", ref=ref.model_dump(mode="json"))
    return target


def _prove(settings: Settings, version: int, opened: ModelDirectory, more: Proof | None) -> int:
    name = str(opened.facts["model"])
    with (
        private_service(settings, name, version, READY_SECONDS) as address,
        private_gateway(settings, name, version, address) as client,
    ):
        proof = prove(client, opened, rows=GOLDEN_ROWS, tolerance=TOLERANCE)
        if more is not None:
            more(client)
    return int(proof["rows"])
