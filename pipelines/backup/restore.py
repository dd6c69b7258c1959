"""Restores a backup: everything is checked while it is written aside, then put in place by one rename."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.artifacts import sync_folder
from pipelines.backup import copying, manifest
from pipelines.backup.blobs import BlobError
from pipelines.backup.finish import finish, restored_name
from pipelines.backup.replace import replace_home
from pipelines.backup.shelf import blobs_of, find_backup, list_backups, reading, stamp, store_at
from pipelines.backup.store import Store, in_parallel, sync_filesystem
from pipelines.backup.verify import verify_backup as verify_backup
from pipelines.errors import BackupError
from pipelines.full_disk import is_disk_full
from pipelines.secret_files import public_key
from pipelines.settings import Settings, make_private


class RestoreReport(BaseModel):
    """What was restored, and where."""

    model_config = ConfigDict(frozen=True)

    backup: str
    home: Path
    """Use it as AIMASS_HOME."""
    files: int
    bytes: int
    notices: tuple[str, ...] = ()
    """What the backup does not hold, or is left to do."""
    replaced: Path | None = None
    """Where the home that was there before lies now."""


def restore(
    settings: Settings,
    backup: str | Path,
    into: Path,
    *,
    force: bool = False,
    before_switch: Callable[[], None] | None = None,
) -> RestoreReport:
    """Restore ``backup`` so that ``into`` is a usable AIMASS_HOME.

    DAG files and suites go to ``into/project``. Keys are not in the backup: the signing key of the home that
    restores is put beside the data, because the model directories are signed with it; Airflow's own secrets are made
    afresh on the next start. MLflow's addresses of artifacts are made those of ``into``.

    Parameters
    ----------
    settings
        The home that restores; its key must be the one that signed the backup.
    backup
        Name of a backup of this home, ``latest``, or the path of a backup folder.
    into
        A folder that is empty or does not exist.
    force
        Also over a home: that is set aside as a whole, and its secrets and backups are taken over.
    before_switch
        Called with ``force`` when all is written and checked, just before the home that is there is set aside.

    Raises
    ------
    BackupError
        If the backup is unknown or damaged in any file, or ``into`` is not empty; nothing has been changed then.
    """
    source = find_backup(settings, backup)
    into = Path(os.path.abspath(into))
    occupied = into.exists() and (not into.is_dir() or any(into.iterdir()))
    is_home = (into / "secrets").is_dir() and any((into / name).is_dir() for name in ("storage", "calls"))
    if occupied and not (force and is_home):
        raise BackupError(
            "the folder to restore into is not empty",
            where=str(into),
            seen="a home with state of its own" if is_home else "other files",
            expected="a folder that is empty or does not exist",
            cure="choose another folder, or say --force to set a home aside and put the restored one in its place",
        )
    store = store_at(settings, source.parent)
    with reading(source.parent, store):
        facts = _trusted(settings, source)
        need = sum(int(entry["bytes"]) for entry in facts["files"].values())
        parent = make_private(into.parent)
        if shutil.disk_usage(parent).free < need * 1.05:
            raise _disk_full(parent)
        partial = make_private(parent / f".{into.name}.restoring-{secrets.token_hex(4)}")
        try:
            _write(settings, source, facts, partial)
            notices = finish(settings, facts, partial, into)
            sync_filesystem(partial)
            stamp(source, whole=True, store=store)
            if occupied and before_switch is not None:
                before_switch()
            replaced = replace_home(into, partial) if occupied else None
            if not occupied:
                os.rename(partial, into)
            sync_folder(parent)
        except Exception as error:
            if is_disk_full(error, parent):
                raise _disk_full(parent) from None
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return RestoreReport(
        backup=source.name, home=into, files=len(facts["files"]), bytes=need, notices=notices, replaced=replaced
    )


def _trusted(settings: Settings, source: Path) -> dict[str, Any]:
    """Return the manifest of a backup; an old one, whose files are no chunks, is checked as a whole first."""
    facts, faults = manifest.read(source, public_key(settings), blobs_of(settings))
    if not faults and manifest.is_old(source):
        faults = verify_backup(settings, source)
    elif not faults:
        own = {manifest.MANIFEST, manifest.SIGNATURE}
        faults = [f"{path.name}: not in the manifest" for path in sorted(source.iterdir()) if path.name not in own]
    if faults:
        raise _damaged(settings, source, faults)
    return facts


def _write(settings: Settings, source: Path, facts: dict[str, Any], partial: Path) -> None:
    """Write every file below ``partial``; each piece is checked before it is written."""
    store = Store(source.parent, blobs_of(settings), store_at(settings, source.parent))
    old = manifest.is_old(source)
    for folder in {(partial / restored_name(name)).parent for name in facts["files"]}:
        make_private(folder)

    def write(name: str) -> str | None:
        entry, target = facts["files"][name], partial / restored_name(name)
        if old:
            return None if copying.copy_file(source / name, target) == entry else f"{name}: changed meanwhile"
        try:
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                for chunk in entry["chunks"]:
                    stream.write(store.read(chunk))
        except BlobError as error:
            return f"{name}: a chunk of it is {error}"
        return None

    faults = [fault for fault in in_parallel(write, list(facts["files"])) if fault]
    if not faults:
        databases = [partial / restored_name(name) for name in facts["databases"]]
        faults = [fault for path in databases for fault in copying.database_faults(path)]
    if faults:
        raise _damaged(settings, source, faults)


def _damaged(settings: Settings, source: Path, faults: list[str]) -> BackupError:
    """Return the error of a damaged backup; it is read as a whole for that, and damaged chunks are set aside."""
    faults = verify_backup(settings, source) or faults
    others = [path for path in reversed(list_backups(settings)) if path != source]
    good = next((path.name for path in others if not verify_backup(settings, path)), None)
    cure = f"restore {good}, the last good one" if good else "no other good backup is here; fetch a copy from elsewhere"
    if good is None and faults == [manifest.FOREIGN]:
        cure = (
            f"put the signing_key.pem of the home that wrote it, saved elsewhere, into {settings.secrets}"
            " (docs/runbooks/backup.md); if that is done, the manifest was changed: fetch a copy"
        )
    return BackupError(
        "the backup is damaged; nothing was restored",
        where=str(source),
        seen=f"{len(faults)} fault(s)",
        expected="every file as signed when the backup was written",
        cure=cure,
        faults=faults,
    )


def _disk_full(folder: Path) -> BackupError:
    return BackupError(
        "disk full: no room to restore",
        where=str(folder),
        seen=f"{shutil.disk_usage(folder).free / 1e6:.0f} MB free",
        cure="free space or restore to another file system; nothing was left behind",
    )
