"""Keeps in MLflow what the ledger still serves or may go back to, whatever somebody deleted or renamed there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pipelines.artifacts import Night
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.ledger.rows import StageRow, VersionRow
from pipelines.registry.aliases import ALERT
from pipelines.registry.facts import publication
from pipelines.registry.publish import Publication, publish
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.stages import NIGHT
from pipelines.storage import resolve

log = logging.getLogger(__name__)

EARLIER = 10
"""Versions that were live before and that are kept in MLflow, the newest first."""
LATER = tuple(stage.name for stage in NIGHT)[[stage.name for stage in NIGHT].index("register") :]
"""Stages that are no part of a version's lineage."""


def register_in_mlflow(settings: Settings, ledger: Ledger, what: Publication) -> tuple[str | None, str | None]:
    """Register a version, or adopt and restore what is there; return run id and MLflow's number.

    MLflow is not the authority: a failure becomes a warning and an alert, which the next success resolves.
    """
    key = f"{ALERT}-v{what.version}"
    try:
        done = publish(settings, what)
        ledger.resolve_alert(what.model, key)
        return done
    except Exception as error:  # noqa: BLE001  # whatever MLflow or its database raises must not fail a night
        text = f"version {what.version} of {what.model} is not in MLflow: {type(error).__name__}: {error}"[:500]
        log.warning(text)
        ledger.alert(what.model, ALERT, text, key)
        return None, None


def restore_others(settings: Settings, ledger: Ledger, model: str, tonight: int) -> None:
    """Restore or make again the runs and versions that MLflow lacks, of all versions that count but tonight's."""
    for row in needed(ledger, model):
        if row.version == tonight:
            continue
        try:
            what = _publication_of(settings, ledger, row)
        except Exception as error:  # noqa: BLE001  # a damaged earlier version must not fail tonight's
            why = f"{type(error).__name__}: {error}"
            log.warning("version %d of %s is not checked in MLflow: %s", row.version, model, why)
            continue
        run, _ = register_in_mlflow(settings, ledger, what)
        if run is not None and run != row.mlflow_run:
            ledger.advance(model, row.night, row.fence, mlflow_run=run)


def needed(ledger: Ledger, model: str) -> list[VersionRow]:
    """Return the versions that are live, asked for, or were live before, oldest first."""
    served = {row.version for row in ledger.serving(model) if row.desired == "serve"} | {ledger.route(model)}
    known = ledger.versions(model)
    earlier = [row.version for row in known if row.state == "retired"][-EARLIER:]
    return [row for row in known if row.version in served or row.version in earlier]


def _publication_of(settings: Settings, ledger: Ledger, row: VersionRow) -> Publication:
    """Return what its night told MLflow, as far as it is still known."""
    stages = {each.stage: each for each in ledger.stages(row.model, row.night)}
    opened = ModelDirectory.open(resolve(settings, row.model_uri), public_key(settings))
    register = stages.get("register")
    lineage = {
        name: {fact: each.ref.get(fact) for fact in ("uri", "digest", "rows")}
        for name, each in stages.items()
        if each.ref is not None and name not in LATER
    }
    assert row.as_of is not None  # it comes with the model directory
    return publication(
        Night(model=_model(ledger, row.model, register), night=row.night, as_of=row.as_of, fence=row.fence),
        row.version,
        opened,
        tags=(register.spec or {}).get("tags", {}) if register else {},
        verdict=row.verdict or {},
        evaluation=_evaluation(settings, stages.get("evaluate")),
        lineage=lineage,
        cost=ledger.cost(row.model, row.night),
    )


def _model(ledger: Ledger, name: str, register: StageRow | None) -> ModelSpec:
    """Return the spec of the version's night, else the newest one."""
    fields: dict[str, Any] | None = (register.made_of or {}).get("model") if register else None
    if fields is None:
        newest = ledger.model(name)
        assert newest is not None  # a version has a model
        fields = newest.spec
    return ModelSpec(**fields)


def _evaluation(settings: Settings, evaluate: StageRow | None) -> Path:
    """Return the folder that evaluate left; one that housekeeping has removed is empty."""
    if evaluate is None or evaluate.ref is None:
        return settings.staging / "no evaluation"
    return resolve(settings, evaluate.ref["uri"])
