"""Runs one stage for one request: checks its inputs, re-uses a finished result, publishes, records."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome, Ref, Request, StageResult, canonical_json, night_slug
from pipelines.errors import DataError, SpecError
from pipelines.imports import code_digest, environment_digest
from pipelines.ledger import Ledger
from pipelines.settings import Settings, public_key
from pipelines.spec import Spec

ROOMS = {
    "ingest": "ingestion", "sample": "sampling", "clean": "cleaning", "validate": "validation", "split": "splitting",
    "features": "features", "tune": "tuning", "ensemble": "ensembling", "evaluate": "evaluation",
    "register": "registry", "package": "packaging", "deploy": "deployment",
}  # fmt: skip
SHOWN = ("ingest", "sample", "clean", "validate", "split", "features")
"""Stages that the page of a night tells of: it is shown after the last, and when one of them stops the night."""
RIVALS = ("champion", "anchor")
"""Inputs that are signed model directories of the store, not published folders."""


class Stage(Protocol):
    """What ``pipelines/<room>/stage.py`` offers. Optional: OPTIONAL, REUSE (default True), fingerprint(…)."""

    SPEC: type[Spec]
    INPUTS: tuple[str, ...]

    def run(self, spec: Any, *, night: Night, settings: Settings, out: Path, **inputs: Artifact) -> Outcome:
        """Read, call, write."""


def load_stage(name: str) -> Any:
    """Import a stage by its task name."""
    if name not in ROOMS:
        raise SpecError("no such stage", seen=name, expected=", ".join(ROOMS), cure="name one of these stages")
    return importlib.import_module(f"pipelines.{ROOMS[name]}.stage")


def reuse_parts(stage: Any, request: Request, spec: Spec, settings: Settings) -> dict[str, Any]:
    """Give all that a result depends on: model, stage, spec, inputs, what lies outside, code, environment."""
    night = request.night
    fingerprint = getattr(stage, "fingerprint", None)
    return {
        "model": night.model.model_dump(mode="json"),
        "stage": request.stage,
        "spec": spec.model_dump(mode="json"),
        "inputs": {name: ref.digest for name, ref in request.inputs.items()},
        # which version a rival is, and of which night, decides as much as its bytes do
        "rivals": {name: request.inputs[name].meta for name in RIVALS if name in request.inputs},
        "outside": fingerprint(spec, night, settings) if fingerprint else "",
        "code": code_digest(f"pipelines.{ROOMS[request.stage]}.stage"),
        "environment": environment_digest(),
        "python": list(sys.version_info[:2]),
    }


def reuse_key(parts: dict[str, Any]) -> str:
    """Give the key under which an equal result may be re-used: the digest of :func:`reuse_parts`."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def made_of(parts: dict[str, Any], request: Request) -> dict[str, Any]:
    """Give what the ledger keeps of an attempt, so that it can be explained and done again: parts, refs and facts.

    The spec has a place of its own there; the lineage is what the ledger holds anyhow.
    """
    kept = {name: parts[name] for name in ("model", "outside", "code", "environment", "python")}
    refs = {name: ref.model_dump(mode="json") for name, ref in request.inputs.items()}
    return {**kept, "inputs": refs, "facts": {k: v for k, v in request.settings.items() if k != "lineage"}}


def open_inputs(stage: Any, request: Request, settings: Settings) -> dict[str, Artifact]:
    """Check every input against its manifest and give where it lies."""
    known = (*stage.INPUTS, *getattr(stage, "OPTIONAL", ()))
    missing = [name for name in stage.INPUTS if name not in request.inputs]
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
        path = storage.resolve(settings, ref.uri)
        if name in RIVALS:
            from pipelines.inference.manifest import verify_manifest

            digest = verify_manifest(path, public_key(settings))
        else:
            digest = storage.verify(path)["digest"]
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


def run_stage(request: Request, settings: Settings) -> StageResult:
    """Do what ``python -m pipelines STAGE REQUEST.json`` does, without its process shell."""
    started = time.monotonic()
    stage = load_stage(request.stage)
    spec: Spec = stage.SPEC(**request.spec)
    night = request.night
    with Ledger.open(settings) as ledger:
        where = (night.model.name, night.night, request.stage, night.fence)
        parts = reuse_parts(stage, request, spec, settings)
        key = reuse_key(parts)
        reusable = getattr(stage, "REUSE", True)
        suffix = key[:12] if reusable else f"{key[:12]}-{night.fence}"
        uri = f"nights/{night.model.name}/{night_slug(night.night)}/{request.stage}-{suffix}"
        result = (_adopt(settings, uri) or _reuse(ledger, request, key, settings)) if reusable else None
        if result is None:
            inputs = open_inputs(stage, request, settings)
            with storage.disk_errors(settings.storage):
                out = storage.stage_folder(settings, f"{night.model.name}-{request.stage}")
                try:
                    facts = _facts(stage, request)
                    outcome: Outcome = stage.run(spec, night=night, settings=settings, out=out, **facts, **inputs)
                    kept = {"meta": outcome.meta, "stats": _plain(outcome.stats)}
                    target = storage.resolve(settings, uri)
                    digest = storage.publish(out, target, stage=request.stage, rows=outcome.rows, facts=kept)
                finally:
                    shutil.rmtree(out, ignore_errors=True)
            ref = Ref(uri=uri, digest=digest, stage=request.stage, rows=outcome.rows, meta=outcome.meta)
            result = StageResult(ref=ref, stats=kept["stats"], seconds=0.0)
        else:
            print(f"{request.stage}: re-used, for nothing that it depends on has changed", file=sys.stderr, flush=True)
        result = result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})
        ledger.finish_stage(
            *where,
            state="done",
            key=key,
            made_of=made_of(parts, request),
            ref=result.ref.model_dump(mode="json"),
            stats=result.stats,
            rows=result.ref.rows,
            seconds=result.seconds,
            reused=result.reused,
        )
    if request.stage == SHOWN[-1]:
        show_night(request, settings)
    return result


def show_night(request: Request, settings: Settings) -> None:
    """Show the page of the night as it stands, if the stage is one that the page tells of."""
    if request.stage in SHOWN:
        importlib.import_module("pipelines.features.report").publish_report(request.night, settings)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _facts(stage: Any, request: Request) -> dict[str, Any]:
    """Hand over facts of the whole night to the stages that ask for them by name."""
    return {name: request.settings.get(name) for name in getattr(stage, "FACTS", ())}


def _adopt(settings: Settings, uri: str) -> StageResult | None:
    """Give the result that an earlier attempt of this night published; a damaged one is set aside."""
    path = storage.resolve(settings, uri)
    if not path.exists():
        return None
    try:
        manifest = storage.verify(path)
    except DataError as error:
        print(f"set aside, made again: {error}", file=sys.stderr, flush=True)
        path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
        return None
    facts = manifest["facts"]
    ref = Ref(uri=uri, digest=manifest["digest"], stage=manifest["stage"], rows=manifest["rows"], meta=facts["meta"])
    return StageResult(ref=ref, stats=facts["stats"], seconds=0.0, reused=True)


def _reuse(ledger: Ledger, request: Request, key: str, settings: Settings) -> StageResult | None:
    """Give the equal result of another night."""
    row = ledger.find_finished(request.night.model.name, request.stage, key)
    return None if row is None else _adopt(settings, Ref.model_validate(row.ref).uri)
