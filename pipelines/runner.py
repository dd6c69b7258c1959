"""Runs one stage for one request: checks its inputs, re-uses a finished result, publishes, records."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import shutil
import sys
import time
from typing import Any

from pipelines import stages, storage
from pipelines.artifacts import Artifact, Call, Outcome, Ref, Request, Result, StageResult, canonical_json, night_slug
from pipelines.code_digest import code_digest, environment_digest
from pipelines.errors import DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.process_usage import Meter
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.spec import Spec
from pipelines.stage_context import fact_names
from pipelines.stages import Stage

REFERENCE_MODELS = ("champion", "anchor")
"""Inputs that are signed model directories of the store, not published folders."""

log = logging.getLogger(__name__)


def reuse_parts(stage: Stage, request: Request, spec: Spec, settings: Settings) -> dict[str, Any]:
    """Return all that a result depends on: model, stage, spec, inputs, what lies outside, code, environment."""
    night = request.night
    fingerprint = getattr(stage.load(), "fingerprint", None)
    return {
        "model": night.model.model_dump(mode="json"),
        "stage": request.stage,
        "spec": spec.model_dump(mode="json"),
        "inputs": {name: ref.digest for name, ref in request.inputs.items()},
        # which version a rival is, and of which night, decides as much as its bytes do
        "rivals": {name: request.inputs[name].meta for name in REFERENCE_MODELS if name in request.inputs},
        "outside": fingerprint(spec, night, settings) if fingerprint else "",
        "code": code_digest(stage.module),
        "environment": environment_digest(),
        "python": list(sys.version_info[:2]),
    }


def reuse_key(parts: dict[str, Any]) -> str:
    """Return the key under which an equal result may be re-used: the digest of :func:`reuse_parts`."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def made_of(parts: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return what the ledger keeps of an attempt, so that it can be explained and done again: parts, refs and facts.

    The spec has a column of its own there; the lineage is what the ledger holds anyhow.
    """
    kept = {name: parts[name] for name in ("model", "outside", "code", "environment", "python")}
    refs = {name: ref.model_dump(mode="json") for name, ref in request.inputs.items()}
    return {**kept, "inputs": refs, "facts": {k: v for k, v in request.settings.items() if k != "lineage"}}


def open_inputs(stage: Stage, request: Request, settings: Settings) -> dict[str, Artifact]:
    """Check every input against its manifest; return them with the folders they lie in."""
    known = (*stage.inputs, *stage.optional)
    missing = [name for name in stage.inputs if name not in request.inputs]
    unknown = [name for name in request.inputs if name not in known]
    if missing or unknown:
        raise SpecError(
            f"stage {request.stage} got the wrong inputs",
            seen=sorted(request.inputs),
            expected=sorted(known),
            cure="wire the DAG's chain as in dags/retrain_loans.py",
        )
    opened = {}
    for name, ref in request.inputs.items():
        if name in REFERENCE_MODELS:
            from pipelines.inference.manifest import verify_manifest

            path = storage.resolve(settings, ref.uri)
            digest = verify_manifest(path, public_key(settings))
        else:
            path, manifest = storage.open_folder(settings, ref.uri)
            digest = manifest["digest"]
        if digest != ref.digest:
            raise DataError(
                "an input is not the one that was produced",
                where=ref.uri,
                seen=digest,
                expected=ref.digest,
                cure="run the night again",
            )
        opened[name] = Artifact(ref=ref, path=path)
    return opened


def keep_usage(ledger: Ledger, request: Call, meter: Meter, state: str, seconds: float) -> None:
    """Keep what a stage or an operation took of the machine; that it cannot be kept changes nothing about its end."""
    if isinstance(request, Request):
        night = request.night
        where: dict[str, Any] = {"model": night.model.name, "night": night.night, "fence": night.fence}
    else:
        where = {"model": request.spec.get("model")}
    try:
        usage = meter.usage().as_columns()
        ledger.add_task_usage(request.stage, state=state, seconds=round(seconds, 3), usage=usage, **where)
    except Exception as error:  # noqa: BLE001 - whatever ails the measurement, the work is done
        log.warning("what %s took is not kept: %s", request.stage, error)


def run_operation(call: Call, settings: Settings, meter: Meter | None = None) -> Result:
    """Run what belongs to no night: monitor, backup, housekeeping."""
    started = time.monotonic()
    operation = stages.get(call.stage)
    outcome: Outcome = operation.load().run(operation.spec_class()(**call.spec), settings=settings)
    seconds = round(time.monotonic() - started, 3)
    if meter is not None:
        with Ledger.open(settings) as ledger:
            keep_usage(ledger, call, meter, "done", seconds)
    return Result(stats=_plain(outcome.stats), seconds=seconds)


def run_stage(request: Request, settings: Settings, meter: Meter | None = None) -> StageResult:
    """Do what ``python -m pipelines STAGE REQUEST.json`` does, without its process shell.

    Parameters
    ----------
    meter
        Of this process; what it measured is kept in the ledger. None: nothing is.
    """
    started = time.monotonic()
    stage = stages.get(request.stage)
    spec = stage.spec_class()(**request.spec)
    night = request.night
    parts = reuse_parts(stage, request, spec, settings)
    key = reuse_key(parts)
    suffix = key[:12] if stage.reusable else f"{key[:12]}-{night.fence}"
    uri = f"nights/{night.model.name}/{night_slug(night.night)}/{request.stage}-{suffix}"
    with Ledger.open(settings) as ledger:
        result = (_adopt(settings, uri) or _reuse(ledger, request, key, settings)) if stage.reusable else None
        if result is None:
            result = _run(stage, spec, request, settings, uri)
        else:
            log.info("re-used, for nothing that it depends on has changed")
        result = result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})
        ledger.finish_stage(
            night.model.name,
            night.night,
            request.stage,
            night.fence,
            state="done",
            key=key,
            made_of=made_of(parts, request),
            ref=result.ref.model_dump(mode="json"),
            stats=result.stats,
            rows=result.ref.rows,
            seconds=result.seconds,
            reused=result.reused,
        )
        if stage.shows_page:
            show_night(request, settings)
        if meter is not None:
            keep_usage(ledger, request, meter, "done", time.monotonic() - started)
    return result


def _run(stage: Stage, spec: Spec, request: Request, settings: Settings, uri: str) -> StageResult:
    """Run a stage into a folder of its own and publish that."""
    night = request.night
    inputs = open_inputs(stage, request, settings)
    facts = {name: request.settings.get(name) for name in fact_names(stage)}
    with storage.disk_errors(settings.storage):
        out = storage.stage_folder(settings, f"{night.model.name}-{request.stage}")
        try:
            with storage.disk_errors(out, staged=True):
                outcome: Outcome = stage.load().run(spec, night=night, settings=settings, out=out, **facts, **inputs)
                kept = {"meta": outcome.meta, "stats": _plain(outcome.stats)}
                target = storage.local_path(settings, uri)
                digest = storage.publish(
                    out, target, stage=request.stage, rows=outcome.rows, facts=kept, settings=settings
                )
        finally:
            shutil.rmtree(out, ignore_errors=True)
    ref = Ref(uri=uri, digest=digest, stage=request.stage, rows=outcome.rows, meta=outcome.meta)
    return StageResult(ref=ref, stats=kept["stats"], seconds=0.0)


def show_night(request: Request, settings: Settings) -> None:
    """Show the page of the night as it stands."""
    importlib.import_module("pipelines.features.nightly_report").publish_report(request.night, settings)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _adopt(settings: Settings, uri: str) -> StageResult | None:
    """Return the result that an earlier attempt of this night published; a damaged one is set aside."""
    try:
        if not storage.resolve(settings, uri).exists():
            return None
        _, manifest = storage.open_folder(settings, uri)
    except DataError as error:
        log.warning("set aside, made again: %s", error)
        storage.set_aside(settings, uri)
        return None
    facts = manifest["facts"]
    ref = Ref(uri=uri, digest=manifest["digest"], stage=manifest["stage"], rows=manifest["rows"], meta=facts["meta"])
    return StageResult(ref=ref, stats=facts["stats"], seconds=0.0, reused=True)


def _reuse(ledger: Ledger, request: Request, key: str, settings: Settings) -> StageResult | None:
    """Return the equal result of another night."""
    row = ledger.find_finished(request.night.model.name, request.stage, key)
    return None if row is None else _adopt(settings, Ref.model_validate(row.ref).uri)
