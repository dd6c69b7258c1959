"""Takes one backup: copy to staging, sign, read everything back, rename once, remove the oldest."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipelines.artifacts import sync_folder
from pipelines.backup import copying, signature
from pipelines.backup.contents import CopiedFile, ledger_file
from pipelines.backup.spec import BackupSpec
from pipelines.errors import BackupError
from pipelines.locks import try_lock
from pipelines.settings import Settings, make_private, public_key, signing_key

NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z")


class BackupReport(BaseModel):
    """What one backup holds."""

    model_config = ConfigDict(frozen=True)

    name: str
    """UTC time at which it was begun; also its folder's name."""
    path: Path
    files: int
    bytes: int
    databases: tuple[str, ...]
    models: int
    """Number of model directories."""
    absent: tuple[str, ...]
    """Databases that do not exist in this home (yet)."""
    removed: tuple[str, ...]
    """Older backups removed, by name."""
    seconds: float


def backup(settings: Settings, spec: BackupSpec | None = None, *, now: datetime | None = None) -> BackupReport:
    """Write one verified backup of the databases, model directories, bentos, histories, DAG files and suites.

    Secrets are not part of it: neither tokens in clear text (the ledger holds their digests) nor any key. The
    ledger is copied first; then every model directory, until all that the copy names are there, so that no row
    of a restored ledger points at nothing.

    Raises
    ------
    BackupError
        If there is nothing to back up, no room, a damaged database, another backup running, or the copy does not
        verify: nothing is published then. Also, *after* publishing what is sound, if a model directory or
        bento that the ledger names is damaged, a model directory gone, or an increment of a history damaged.
    """
    spec = spec or BackupSpec()
    started = time.monotonic()
    name = (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = make_private(settings.backups) / name
    with _alone(settings), _disk_errors(settings):
        _room(settings, spec)
        partial = make_private(settings.backups / f".partial-{name}")
        try:
            copied = CopiedFile(settings, spec, partial)
            absent = copied.everything()
            facts = {"created": name, "databases": copied.databases, "models": copied.models, "damaged": copied.damaged}
            signature.sign(partial, facts, copied.files, signing_key(settings))
            _verify(settings, partial)
            for folder in {path.parent for path in copying.files_below(partial)}:
                sync_folder(folder)
            os.rename(partial, target)
            sync_folder(settings.backups)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        removed = _prune(settings, spec.keep)
    if copied.damaged:
        raise BackupError(
            f"the backup is written, but {len(copied.damaged)} model directories, bentos or increments are not in it",
            where=str(target),
            expected="everything that the ledger names signed and whole",
            cure="restore these directories from an older backup (aimass restore NAME --into DIR)",
            faults=copied.damaged,
        )
    return BackupReport(
        name=name,
        path=target,
        files=len(copied.files),
        bytes=sum(entry["bytes"] for entry in copied.files.values()),
        databases=tuple(copied.databases),
        models=len(copied.models),
        absent=tuple(absent),
        removed=tuple(removed),
        seconds=time.monotonic() - started,
    )


def list_backups(settings: Settings) -> list[Path]:
    """Return the finished backups, oldest first; unfinished ones have another name."""
    if not settings.backups.is_dir():
        return []
    found = (path for path in settings.backups.iterdir() if NAME.fullmatch(path.name))
    return sorted(path for path in found if (path / signature.SIGNATURE).is_file())


def _verify(settings: Settings, folder: Path) -> None:
    faults = signature.faults_of(folder, public_key(settings))
    for name in signature.read(folder, public_key(settings))[0].get("databases", []):
        faults += copying.database_faults(folder / name)
    if faults:
        raise BackupError(
            "the new backup does not verify and is not kept",
            where=str(settings.backups),
            seen=f"{len(faults)} fault(s) when it was read back",
            expected="the bytes that were written",
            cure="check the disk; the earlier backups are untouched",
            faults=faults,
        )


def _room(settings: Settings, spec: BackupSpec) -> None:
    bentos = settings.bentoml_home / "bentos" if spec.bentos else None
    parts = [settings.storage / "models", *([bentos] if bentos else [])]
    if spec.history:
        parts.append(settings.storage / "history")
    databases = (ledger_file(settings), settings.airflow_home / "airflow.db", settings.mlflow_dir / "mlflow.db")
    need = sum(copying.size_below(part) for part in parts) + sum(p.stat().st_size for p in databases if p.is_file())
    usage = shutil.disk_usage(settings.backups)
    if usage.free - need < usage.total * spec.free_share:
        raise BackupError(
            "disk full: no room for a backup",
            where=str(settings.backups),
            seen=f"{usage.free / 1e6:.0f} MB free",
            expected=f"{need / 1e6:.0f} MB, with {spec.free_share:.0%} of the file system left free",
            cure="free space, lower BackupSpec.keep, or put the backups on another file system",
        )


@contextmanager
def _disk_errors(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BackupError(
            "disk full while a backup was written; nothing of it is kept",
            where=str(settings.backups),
            seen=f"{shutil.disk_usage(settings.backups).free / 1e6:.0f} MB free",
            cure="free space and run the backup again; the earlier backups are untouched",
        ) from None


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the backup lock, and remove what a killed backup left."""
    held = try_lock(settings.backups / ".lock")
    if held is None:
        raise BackupError("another backup is running", where=str(settings.backups), cure="wait until it has ended")
    with held:
        for leftover in (*settings.backups.glob(".partial-*"), *settings.backups.glob(".removed-*")):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _prune(settings: Settings, keep: int) -> list[str]:
    removed = []
    for path in list_backups(settings)[:-keep]:
        doomed = path.with_name(f".removed-{path.name}")
        os.rename(path, doomed)
        shutil.rmtree(doomed)
        removed.append(path.name)
    return removed
