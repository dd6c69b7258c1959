"""Which backups are kept, and the removal of the others with the chunks that no manifest names any more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from pipelines.backup import manifest
from pipelines.backup.bucket import bucket_of, remove
from pipelines.backup.shelf import STAMPS, begun, blobs_of, list_backups, removing, stamped
from pipelines.backup.spec import BackupSpec
from pipelines.backup.store import Store
from pipelines.secret_files import public_key
from pipelines.settings import Settings

RULES: tuple[tuple[str, Callable[[datetime], object]], ...] = (
    ("daily", lambda at: at.date()),
    ("weekly", lambda at: at.isocalendar()[:2]),
    ("monthly", lambda at: (at.year, at.month)),
)


def too_old(names: Sequence[str], spec: BackupSpec, verified: str | None) -> list[str]:
    """Return the backups that no rule keeps, oldest first.

    Parameters
    ----------
    names
        Of all backups, oldest first.
    verified
        The newest one that was read back whole; it is kept.
    """
    kept = {*names[-spec.keep :], verified}
    for rule, period in RULES:
        last = {period(begun(name)): name for name in names}  # later ones replace earlier ones
        count: int = getattr(spec, rule)
        kept.update(list(last.values())[-count:] if count else ())
    return [name for name in names if name not in kept]


def prune(settings: Settings, spec: BackupSpec, *, sweep: bool) -> list[str]:
    """Remove the backups that no rule keeps, then the chunks that no other names; return the names of the backups.

    The caller holds the lock of the backups, so that none is being written. While others read backups, nothing is
    removed: the next backup does it.

    Parameters
    ----------
    sweep
        Look for chunks without a backup even if none is removed: a killed backup may have left some.
    """
    bucket = bucket_of(settings)
    folders = list_backups(settings)
    verified = next((path.name for path in reversed(folders) if _is_verified(path)), None)
    doomed = [path for path in folders if path.name in too_old([path.name for path in folders], spec, verified)]
    if not doomed and not sweep:
        return []
    with removing(settings) as free:
        if not free:
            return []
        for path in doomed:
            if bucket is not None:
                remove(bucket, path.name)
            aside = path.with_name(f".removed-{path.name}")
            os.rename(path, aside)
            shutil.rmtree(aside)
            (path.parent / STAMPS / f"{path.name}.json").unlink(missing_ok=True)
        collect_garbage(settings)
    return [path.name for path in doomed]


def collect_garbage(settings: Settings) -> int:
    """Remove the chunks that no backup names; return how many. With a manifest that cannot be read, none is removed."""
    store = Store(settings.backups, blobs_of(settings), bucket_of(settings))
    named: set[str] = set()
    for folder in list_backups(settings):
        if manifest.is_old(folder):
            continue
        found, faults = manifest.read(folder, public_key(settings), store.blobs)
        if faults:
            return 0
        named.update(found["chunks"])
    garbage = [name for name in store.names() if name not in named]
    store.remove(garbage)
    return len(garbage)


def _is_verified(folder: Path) -> bool:
    note = stamped(folder)
    return bool(note.get("whole")) and not note.get("faults")
