"""Takes one backup: read what changed, store it, sign, read it back, rename once, remove the oldest."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.artifacts import sync_folder
from pipelines.backup import bucket, manifest
from pipelines.backup.blobs import BlobError, Blobs
from pipelines.backup.bucket import bucket_of, place_of
from pipelines.backup.guards import alone, disk_errors, room
from pipelines.backup.retention import prune
from pipelines.backup.shelf import begun, blobs_of, name_at, stamp
from pipelines.backup.shelf import list_backups as list_backups
from pipelines.backup.snapshot import Snapshot
from pipelines.backup.spec import BackupSpec
from pipelines.backup.store import Incoming, Store
from pipelines.backup.writer import Writer
from pipelines.errors import BackupError
from pipelines.locks import deletion_lock
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings, make_private


class BackupReport(BaseModel):
    """What one backup holds."""

    model_config = ConfigDict(frozen=True)

    name: str
    """UTC time at which it was begun; also its folder's name."""
    path: Path
    files: int
    bytes: int
    """Of all files, as a restore writes them."""
    new_bytes: int
    """That this backup added to the store, its manifest included."""
    databases: tuple[str, ...]
    models: int
    """Number of model directories."""
    absent: tuple[str, ...]
    """Databases that do not exist in this home (yet)."""
    missing: tuple[str, ...]
    """Folders of artifacts that MLflow's database names and that are not there."""
    removed: tuple[str, ...]
    """Older backups removed, by name."""
    seconds: float


def backup(settings: Settings, spec: BackupSpec | None = None, *, now: datetime | None = None) -> BackupReport:
    """Write one backup of the databases, model directories, bentos, artifacts, histories, DAG files and suites.

    Secrets are not part of it: neither tokens in clear text (the ledger holds their digests) nor any key. The
    ledger is copied first; then every model directory, until all that the copy names are there, so that no row
    of a restored ledger points at nothing. Content that an earlier backup holds is not stored again, and files that
    did not change since the newest one are not read again.

    Parameters
    ----------
    spec
        None: that of the newest backup, so that one by hand keeps and removes what the nightly one does.
    now
        When it is begun; None: now.

    Raises
    ------
    BackupError
        If there is nothing to back up, no room, a damaged database, another backup running, or what was written does
        not read back: nothing is published then. Also, *after* publishing what is sound, if a model directory or
        bento that the ledger names is damaged, a model directory gone, or an increment of a history damaged.
    """
    started = time.monotonic()
    name = name_at(now or datetime.now(UTC))
    target = make_private(settings.backups) / name
    with alone(settings) as leftover, disk_errors(settings):
        base, blobs = _newest(settings)
        spec = spec or _spec_of(base)
        room(settings, spec, sum(entry["bytes"] for entry in base.get("files", {}).values()))
        partial = make_private(settings.backups / f".partial-{name}")
        try:
            store = Store(settings.backups, blobs, bucket_of(settings))
            incoming = Incoming(store, partial / "chunks", base.get("chunks", {}))
            writer = Writer(incoming, base.get("files", {}), _nanoseconds(base))
            snapshot = Snapshot(settings, spec, writer, partial / "scratch")
            with deletion_lock(make_private(settings.run_dir)):
                snapshot.take()
            shutil.rmtree(partial / "scratch")  # or these copies would be flushed with what is kept
            facts = _publish(settings, partial, target, spec, snapshot, incoming)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        stamp(target, whole=facts["reused"] == 0, store=bucket_of(settings))
        removed = prune(settings, spec, sweep=leftover or facts["unused"] > 0)
    if snapshot.damaged:
        raise BackupError(
            f"the backup is written, but {len(snapshot.damaged)} model directories, bentos, tables or increments are"
            " not in it",
            where=str(target),
            expected="everything that the ledger names signed and whole",
            cure="restore these directories from an older backup (aimass restore NAME --into DIR)",
            faults=snapshot.damaged,
        )
    return BackupReport(
        name=name,
        path=target,
        files=len(writer.files),
        bytes=facts["bytes"],
        new_bytes=facts["new_bytes"],
        databases=tuple(snapshot.databases),
        models=len(snapshot.models),
        absent=tuple(snapshot.absent),
        missing=tuple(snapshot.missing),
        removed=tuple(removed),
        seconds=time.monotonic() - started,
    )


def _publish(
    settings: Settings, partial: Path, target: Path, spec: BackupSpec, snapshot: Snapshot, incoming: Incoming
) -> dict[str, Any]:
    """Put the chunks into the store, then the signed manifest beside the others; return its facts."""
    files = snapshot.writer.files
    names = {chunk for entry in files.values() for chunk in entry["chunks"]}
    new = sum(incoming.new[name] for name in names & incoming.new.keys())
    facts = {
        "created": target.name,
        "spec": spec.model_dump(mode="json"),
        "databases": snapshot.databases,
        "models": snapshot.models,
        "damaged": snapshot.damaged,
        "missing": snapshot.missing,
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "new_bytes": new,
        "reused": len(names - incoming.new.keys()),
        "unused": 0 if incoming.store.remote is None else len(incoming.new.keys() - names),
        "chunks": incoming.sizes(names),
        "files": files,
    }
    try:
        incoming.publish(names)
    except BlobError as error:
        raise BackupError(
            "the new backup does not verify and is not kept",
            where=place_of(settings),
            seen=f"a chunk that was just written is {error}",
            expected="the bytes that were written",
            cure="check the disk; the earlier backups are untouched",
        ) from None
    folder = make_private(partial / target.name)
    size = manifest.write(folder, facts, incoming.store.blobs, signing_key(settings))
    if incoming.store.remote is not None:
        bucket.publish(incoming.store.remote, folder)
    os.rename(folder, target)
    sync_folder(settings.backups)
    return {**facts, "new_bytes": new + size}


def _newest(settings: Settings) -> tuple[dict[str, Any], Blobs]:
    """Return the manifest of the newest backup that this one can build on (else empty), and how chunks are encoded."""
    for folder in reversed(list_backups(settings)):
        salt = manifest.salt(folder)
        if manifest.is_old(folder) or (salt is None) != (settings.backups_key is None):
            continue
        blobs = blobs_of(settings, salt)
        found, faults = manifest.read(folder, public_key(settings), blobs)
        if not faults:
            return found, blobs
    return {}, blobs_of(settings)


def _spec_of(base: dict[str, Any]) -> BackupSpec:
    """Return the settings of a backup; those that another release had are left out."""
    return BackupSpec(
        **{name: value for name, value in base.get("spec", {}).items() if name in BackupSpec.model_fields}
    )


def _nanoseconds(base: dict[str, Any]) -> int:
    return int(begun(base["created"]).timestamp() * 1e9) if base else 0
