"""Restores a backup into an empty folder: verify all of it, copy to staging, rename once."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipelines.artifacts import sync_folder
from pipelines.backup import copying, signature
from pipelines.backup.backup import list_backups
from pipelines.errors import BackupError
from pipelines.settings import Settings, make_private, public_key, signing_key


class RestoreReport(BaseModel):
    """What was restored, and where."""

    model_config = ConfigDict(frozen=True)

    backup: str
    home: Path
    """Use it as AIMASS_HOME."""
    files: int
    bytes: int


def restore(settings: Settings, backup: str | Path, into: Path) -> RestoreReport:
    """Restore ``backup`` so that ``into`` is a usable AIMASS_HOME.

    DAG files and suites go to ``into/project``. Keys are not in the backup: the signing key of the home that
    restores is put beside the data, because the model directories are signed with it; Airflow's own secrets are made
    afresh on the next start.

    Parameters
    ----------
    settings
        The home that restores; its key must be the one that signed the backup.
    backup
        Name of a backup of this home, ``latest``, or the path of a backup folder.
    into
        A folder that is empty or does not exist.

    Raises
    ------
    BackupError
        If the backup is unknown or damaged in any file, or ``into`` is not empty; nothing has been written then.
    """
    source = find_backup(settings, backup)
    into = Path(os.path.abspath(into))
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise BackupError(
            "the folder to restore into is not empty",
            where=str(into),
            expected="a folder that is empty or does not exist",
            cure="choose another folder; nothing is ever restored over existing state",
        )
    manifest = _verified(settings, source)
    files: dict[str, dict[str, object]] = manifest["files"]
    need = sum(int(str(entry["bytes"])) for entry in files.values())
    parent = make_private(into.parent)
    if shutil.disk_usage(parent).free < need * 1.05:
        raise _disk_full(parent)
    partial = make_private(parent / f".{into.name}.restoring-{secrets.token_hex(4)}")
    try:
        for name, entry in files.items():
            target_path = partial / (name.removeprefix("home/") if name.startswith("home/") else name)
            if copying.copy_file(source / name, target_path) != entry:
                raise BackupError(
                    "a file changed while it was restored", where=str(source / name), cure="check the disk"
                )
        copying.copy_file(signing_key(settings), partial / "secrets" / signing_key(settings).name)
        for folder in {path.parent for path in copying.files_below(partial)}:
            sync_folder(folder)
        os.rename(partial, into)
        sync_folder(parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(parent) from None
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return RestoreReport(backup=source.name, home=into, files=len(files), bytes=need)


def find_backup(settings: Settings, backup: str | Path) -> Path:
    """Return the folder of a backup from its name, its path, or ``latest``."""
    known = list_backups(settings)
    if str(backup) == "latest" and known:
        return known[-1]
    for path in known:
        if path.name == str(backup):
            return path
    folder = Path(backup)
    if folder.is_dir():
        return folder
    raise BackupError(
        "no such backup",
        where=str(settings.backups),
        seen=backup,
        expected=", ".join(path.name for path in known[-5:]) or "at least one backup",
        cure="name one of these, 'latest', or the path of a backup folder",
    )


def verify_backup(settings: Settings, folder: Path) -> list[str]:
    """Check a backup byte for byte, its databases too; return every fault."""
    manifest, _ = signature.read(folder, public_key(settings))
    faults = signature.faults_of(folder, public_key(settings))
    for name in manifest.get("databases", []):
        if (folder / name).is_file():
            faults += copying.database_faults(folder / name)
    return faults


def _verified(settings: Settings, source: Path) -> dict[str, dict[str, dict[str, object]]]:
    faults = verify_backup(settings, source)
    if not faults:
        return signature.read(source, public_key(settings))[0]
    others = [path for path in reversed(list_backups(settings)) if path != source]
    good = next((path.name for path in others if not verify_backup(settings, path)), None)
    raise BackupError(
        "the backup is damaged; nothing was restored",
        where=str(source),
        seen=f"{len(faults)} fault(s)",
        expected="every file as signed when the backup was written",
        cure=f"restore {good}, the last good one"
        if good
        else "no other good backup is here; fetch a copy from elsewhere",
        faults=faults,
    )


def _disk_full(folder: Path) -> BackupError:
    return BackupError(
        "disk full: no room to restore",
        where=str(folder),
        seen=f"{shutil.disk_usage(folder).free / 1e6:.0f} MB free",
        cure="free space or restore to another file system; nothing was left behind",
    )
