"""Reads backups back, byte for byte, and names every fault."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipelines.backup import bucket, copying, manifest, signature
from pipelines.backup.blobs import BlobError
from pipelines.backup.shelf import blobs_of, reading, stamp, store_at
from pipelines.backup.store import Store, in_parallel
from pipelines.secret_files import public_key
from pipelines.settings import Settings


def verify_backup(settings: Settings, folder: Path) -> list[str]:
    """Check a backup byte for byte, its databases too; return every fault."""
    return verify_backups(settings, [folder])[folder]


def verify_backups(settings: Settings, folders: Iterable[Path]) -> dict[Path, list[str]]:
    """Check backups byte for byte; a chunk that several share is read once. Returns the faults of each.

    A damaged chunk is set aside, so that the next backup stores it again if the home still has its content.
    """
    chunks: dict[tuple[Path, str], str | None] = {}
    found = {}
    for folder in folders:
        blobs = blobs_of(settings)
        store = store_at(settings, folder.parent)
        with reading(folder.parent, store):
            if store is not None:
                bucket.mirror(settings, store, frozenset({folder.name}))
            facts, faults = manifest.read(folder, public_key(settings), blobs)
            if not faults:
                if manifest.is_old(folder):
                    faults = signature.faults_of(folder, public_key(settings))
                    databases = [folder / name for name in facts["databases"] if (folder / name).is_file()]
                    faults += [fault for path in databases for fault in copying.database_faults(path)]
                else:
                    faults = _faults_of(Store(folder.parent, blobs, store), folder, facts, chunks)
        stamp(folder, whole=True, faults=len(faults), store=store)
        found[folder] = faults
    return found


def _faults_of(
    store: Store, folder: Path, facts: dict[str, Any], known: dict[tuple[Path, str], str | None]
) -> list[str]:
    own = {manifest.MANIFEST, manifest.SIGNATURE}
    faults = [f"{path.name}: not in the manifest" for path in sorted(folder.iterdir()) if path.name not in own]
    unread = [name for name in facts["chunks"] if (store.root, name) not in known]
    for name, fault in zip(unread, in_parallel(lambda name: _fault_of(store, name), unread), strict=True):
        known[store.root, name] = fault
    for name, entry in facts["files"].items():
        broken = [(chunk, fault) for chunk in entry["chunks"] if (fault := known[store.root, chunk]) is not None]
        faults += [f"{name}: chunk {chunk[:12]} is {fault}" for chunk, fault in broken[:1]]
    for name in facts["databases"]:
        if not any(fault.startswith(f"{name}:") for fault in faults):
            faults += _database_faults(store, name, facts["files"][name])
    return faults


def _fault_of(store: Store, name: str) -> str | None:
    try:
        store.read(name)
    except BlobError as error:
        store.set_aside(name)
        return str(error)
    return None


def _database_faults(store: Store, name: str, entry: dict[str, Any]) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="aimass-verify-") as scratch:
        path = Path(scratch) / Path(name).name
        with path.open("wb") as stream:
            for chunk in entry["chunks"]:
                stream.write(store.read(chunk))
        return copying.database_faults(path)
