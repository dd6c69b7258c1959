"""Stage register: ensemble and verdict in, exactly one version per night out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.errors import AimassError
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.registry.aliases import reconcile
from pipelines.registry.facts import publication
from pipelines.registry.spec import RegisterSpec
from pipelines.registry.upkeep import register_in_mlflow, restore_others
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.storage import adopt_model, resolve

log = logging.getLogger(__name__)


def run(
    spec: RegisterSpec,
    *,
    night: Night,
    settings: Settings,
    out: Path,
    ensemble: Artifact,
    evaluate: Artifact,
    lineage: dict[str, Any] | None = None,
) -> Outcome:
    """Store the model directory, number it and register it; leaves ``version.json``.

    A retry adopts what an earlier attempt of the same night published: its number and its model directory.
    """
    name, facts = night.model.name, dict(evaluate.ref.meta)
    with Ledger.open(settings) as ledger:
        held = ledger.reserve(name, night.night, night.fence)
        if held.model_digest is None:
            made = ModelDirectory.open(ensemble.path / "model", public_key(settings))
            uri, digest = adopt_model(settings, made.path, name)
            held = ledger.advance(
                name,
                night.night,
                night.fence,
                state="staged",
                model_uri=uri,
                model_digest=digest,
                as_of=night.as_of,
                verdict={**facts, "rows_trained": ((lineage or {}).get("features") or {}).get("rows")},
                metric=facts.get("metric"),
                score=facts.get("score"),
                baseline=facts.get("baseline"),
            )
        elif held.model_digest != (made := ModelDirectory.open(ensemble.path / "model", public_key(settings))).digest:
            log.warning(
                f"this night has version {held.version} already, whose model is kept; the one that was made of other "
                f"data just now ({made.digest[:12]}) is not registered: trigger a new night for it"
            )
        assert held.model_uri is not None
        assert held.model_digest is not None  # both come together
        stored = ModelDirectory.open(resolve(settings, held.model_uri), public_key(settings))
        if stored.digest != held.model_digest:
            raise AimassError(
                "the stored model directory is another one", where=held.model_uri, expected=held.model_digest
            )
        version = ledger.assign_version(name, night.night, night.fence)
        ledger.keep_columns(name, stored.schema.names)
        verdict = dict(held.verdict or facts)
        what = publication(
            night,
            version,
            stored,
            tags=spec.tags,
            verdict=verdict,
            evaluation=evaluate.path,
            lineage=lineage or {},
            cost=ledger.cost(name, night.night),
        )
        mlflow_run, mlflow_version = register_in_mlflow(settings, ledger, what)
        ledger.advance(name, night.night, night.fence, state="registered", mlflow_run=mlflow_run)
        restore_others(settings, ledger, name, version)
        reconcile(settings, ledger, name, moved=False)
    meta = {
        "version": version,
        "verdict": verdict.get("verdict"),
        "model_uri": held.model_uri,
        "model_digest": held.model_digest,
    }
    record = {**meta, "mlflow_run": mlflow_run, "mlflow_version": mlflow_version, "night": night.night}
    write_json(out / "version.json", record)
    log.info(f"registered {name} version {version} ({meta['verdict']})")
    return Outcome(meta=meta, stats={"mlflow_run": mlflow_run})
