"""Versions: what holds each, what deleting one takes with it, and which are too old."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipelines.housekeeping import mlflow_objects
from pipelines.housekeeping.items import Item, remove_path, size_of
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.ledger.reference_models import best_ever
from pipelines.ledger.rows import VersionRow
from pipelines.settings import Settings
from pipelines.storage import local_path, remote_of

EARLIER = 10
"""Versions that were live before and that housekeeping leaves, the newest first: a rollback may go to them."""
ACTOR = "housekeeping"


def holds(ledger: Ledger, model: str) -> dict[int, str]:
    """Return why versions cannot be deleted, also by hand: version → reason."""
    found: dict[int, str] = {}
    for rollout in ledger.rollouts(model):
        if rollout.state in ("running", "paused"):
            found[rollout.version] = "its release is under way"
            if rollout.control is not None:
                found[rollout.control] = f"the release of version {rollout.version} is judged against it"
    for service in ledger.serving(model):
        if service.desired == "serve":
            until = f" until {service.until:%Y-%m-%d %H:%M} UTC" if service.until else ""
            found[service.version] = f"its service is kept running{until}"
    champion = ledger.champion(model)
    for live in (ledger.route(model), champion.version if champion else None):
        if live is not None:
            found[live] = "it is live"
    return found


def kept_versions(ledger: Ledger, model: str, spec: HousekeepingSpec) -> dict[int, str]:
    """Return the versions that housekeeping leaves, each with the reason."""
    rows = ledger.versions(model)
    found = {row.version: f"one of the newest {spec.versions}" for row in rows[-spec.versions :]}
    best = best_ever(rows, ledger.history(model))
    if best is not None:
        found[best.version] = "the best that ever was live; nights are compared with it"
    were_live = [row.version for row in rows if row.live_at is not None]
    found |= dict.fromkeys(were_live[-EARLIER:], "was live; a rollback may go to it")
    return {**found, **holds(ledger, model)}


def old_versions(settings: Settings, ledger: Ledger, model: str, spec: HousekeepingSpec) -> Iterator[Item]:
    """Yield the versions that are too old."""
    kept = kept_versions(ledger, model, spec)
    why = f"older than the newest {spec.versions}, and not live, served or lately live"
    for row in ledger.versions(model):
        if row.version not in kept:
            size = sum(size_of(path) for path in files_of(settings, ledger, row))
            remove = partial(delete_version, settings, ledger, row, ACTOR, why)
            yield Item("versions", f"{model} version {row.version}", size, why, remove)


def files_of(settings: Settings, ledger: Ledger, row: VersionRow) -> list[Path]:
    """Return the files and folders that go with a version: model directory, bento, artifacts in MLflow.

    A model directory that another version of equal content has stays.
    """
    found = []
    others = [each for each in ledger.versions(row.model) if each.version != row.version]
    if row.model_uri and row.model_uri not in [each.model_uri for each in others]:
        found.append(local_path(settings, row.model_uri))
    if row.bento_uri is not None:
        found.append(settings.bentoml_home / "bentos" / row.bento_uri.replace(":", "/"))
    if row.mlflow_run is not None:
        found += mlflow_objects.folders_of_run(settings, row.mlflow_run)
    return found


def delete_version(settings: Settings, ledger: Ledger, row: VersionRow, actor: str, why: str) -> bool:
    """Delete a version: first from the ledger, then its files; a process that dies between leaves orphans.

    Returns
    -------
    bool
        Always true.

    Raises
    ------
    SpecError
        It is live, or its service is wanted.
    """
    ledger.mark_version_deleted(row.model, row.version, actor, why)
    remote = remote_of(settings)
    for path in files_of(settings, ledger, row):  # looked up afterwards: what another version has by now stays
        if remote is not None and row.model_uri and path == local_path(settings, row.model_uri):
            remote.remove(row.model_uri)
        remove_path(settings, path)
    if row.mlflow_run is not None:
        mlflow_objects.forget_run(settings, row.mlflow_run)
    return True
