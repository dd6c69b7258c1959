"""What guards the writing of a backup: room on the disk, a full disk, another backup, what a killed one left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from pipelines.backup import copying
from pipelines.backup.bucket import bucket_of, locked, place_of
from pipelines.backup.spec import BackupSpec
from pipelines.errors import BackupError, DiskFullError
from pipelines.full_disk import is_disk_full
from pipelines.locks import try_lock
from pipelines.settings import Settings


def room(settings: Settings, spec: BackupSpec, held: int) -> None:
    """Refuse to begin where what is new since the newest backup, which holds ``held`` bytes, has no room."""
    parts = [settings.storage / "models"]
    if spec.bentos:
        parts.append(settings.bentoml_home / "bentos")
    if spec.history:
        parts += [settings.storage / "history", settings.storage / "mart"]
    databases = (settings.ledger_path, settings.airflow_home / "airflow.db", settings.mlflow_dir / "mlflow.db")
    copies = sum(path.stat().st_size for path in databases if path.is_file())
    need = copies
    if bucket_of(settings) is None:  # else this machine only holds copies of databases
        need += max(0, sum(copying.size_below(part) for part in parts) - held)
    usage = shutil.disk_usage(settings.backups)
    if usage.free - need < usage.total * spec.free_share:
        raise BackupError(
            "disk full: no room for a backup",
            where=str(settings.backups),
            seen=f"{usage.free / 1e6:.0f} MB free",
            expected=f"{need / 1e6:.0f} MB, with {spec.free_share:.0%} of the file system left free",
            cure="free space, keep fewer (BackupSpec), or put the backups elsewhere (AIMASS_BACKUPS_FOLDER)",
        )


@contextmanager
def disk_errors(settings: Settings) -> Iterator[None]:
    """Turn a full disk into one clear error."""
    try:
        yield
    except Exception as error:
        if isinstance(error, BackupError) or not is_disk_full(error, settings.backups, settings.home):
            raise
        if isinstance(error, DiskFullError) and error.where.startswith("s3://"):
            raise BackupError(
                "the bucket is full; nothing of the backup that was being written is kept",
                where=error.where,
                seen=error.seen,
                expected=error.expected,
                cure="raise the quota, or keep fewer (BackupSpec); the earlier backups are untouched",
            ) from None
        raise BackupError(
            "disk full while a backup was written; nothing of it is kept",
            where=str(settings.backups),
            seen=f"{shutil.disk_usage(settings.backups).free / 1e6:.0f} MB free",
            cure="free space and run the backup again; the earlier backups are untouched",
        ) from None


@contextmanager
def alone(settings: Settings) -> Iterator[bool]:
    """Hold the backup lock, remove what a killed backup left, and yield whether there was anything."""
    held = try_lock(settings.backups / ".lock")
    if held is None:
        raise BackupError("another backup is running", where=place_of(settings), cure="wait until it has ended")
    store = bucket_of(settings)
    with held, locked(store, settings.home) if store is not None else nullcontext(False) as left:
        leftovers = [*settings.backups.glob(".partial-*"), *settings.backups.glob(".removed-*")]
        for leftover in leftovers:
            shutil.rmtree(leftover, ignore_errors=True)
        yield bool(leftovers) or left
