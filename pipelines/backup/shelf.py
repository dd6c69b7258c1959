"""The folder of the backups: which are finished, which was read back, and who may remove."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from pipelines.artifacts import write_json
from pipelines.backup import bucket, manifest
from pipelines.backup.blobs import Blobs
from pipelines.backup.bucket import STAMPS as STAMPS
from pipelines.backup.bucket import bucket_of, place_of
from pipelines.errors import BackupError, SpecError
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings, make_private

NAME = manifest.NAME
FEWEST = 16
"""Characters that the key file must hold."""


def name_at(moment: datetime) -> str:
    """Return the name of a backup that is begun at a time."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def begun(name: str) -> datetime:
    """Return when a backup was begun, from its name."""
    return datetime.strptime(name, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)


def list_backups(settings: Settings, patience: float | None = None) -> list[Path]:
    """Return the finished backups, oldest first; unfinished ones have another name.

    Parameters
    ----------
    patience
        Seconds for which an object store is asked; None: as long as everywhere.
    """
    if (store := bucket_of(settings, patience)) is not None:
        bucket.mirror(settings, store)
    if not settings.backups.is_dir():
        return []
    found = (path for path in settings.backups.iterdir() if NAME.fullmatch(path.name))
    return sorted(path for path in found if (path / manifest.SIGNATURE).is_file())


def find_backup(settings: Settings, backup: str | Path) -> Path:
    """Return the folder of a backup from its name, its path, or ``latest``.

    Raises
    ------
    BackupError
        If there is none; it names those that are there.
    """
    known = list_backups(settings)
    if str(backup) == "latest" and known:
        return known[-1]
    for path in known:
        if path.name == str(backup):
            return path
    folder = Path(backup)
    if folder.is_dir():
        return Path(os.path.abspath(folder))
    raise BackupError(
        "no such backup",
        where=place_of(settings),
        seen=backup,
        expected=", ".join(path.name for path in known[-5:]) or "at least one backup",
        cure="name one of these, 'latest', or the path of a backup folder",
    )


def blobs_of(settings: Settings, salt: bytes | None = None) -> Blobs:
    """Return how this installation encodes its backups.

    Raises
    ------
    BackupError
        If the key file cannot be read or holds too little.
    """
    path = settings.backups_key
    if path is None:
        return Blobs(None)
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        seen: object = error.strerror
    else:
        if len(secret) >= FEWEST:
            return Blobs(secret, salt)
        seen = f"{len(secret)} characters"
    raise BackupError(
        "the key of the backups cannot be used",
        where=f"AIMASS_BACKUPS_KEY={path}",
        seen=seen,
        expected=f"a file with a key or passphrase of at least {FEWEST} characters",
        cure="write 256 random bits into it (head -c 32 /dev/urandom | base64), and keep a copy away from the backups",
    )


@contextmanager
def reading(root: Path, store: ObjectStore | None = None) -> Iterator[None]:
    """Keep backups from being removed while they are read; several may read at once.

    Parameters
    ----------
    store
        See :func:`store_at`.
    """
    with _folder_lock(root, fcntl.LOCK_SH), bucket.reading(store) if store is not None else nullcontext():
        yield


@contextmanager
def removing(settings: Settings) -> Iterator[bool]:
    """Yield whether backups may be removed now: while others read them, they wait for the next time."""
    store = bucket_of(settings)
    with _folder_lock(settings.backups, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
        yield held and (store is None or not bucket.is_read(store))


def store_at(settings: Settings, root: Path) -> ObjectStore | None:
    """Return the object store that the backups in ``root`` are those of; None: they are in a folder."""
    return bucket_of(settings) if root == settings.backups else None


@contextmanager
def _folder_lock(folder: Path, how: int) -> Iterator[bool]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def stamp(folder: Path, *, whole: bool, faults: int = 0, store: ObjectStore | None = None) -> None:
    """Note that a backup was read back just now: all of it, or what it added to the store.

    Parameters
    ----------
    store
        See :func:`store_at`.
    """
    facts = {"at": datetime.now(UTC).isoformat(), "whole": whole, "faults": faults}
    try:
        write_json(make_private(folder.parent / STAMPS) / f"{folder.name}.json", facts)
        if store is not None:
            store.put(f"{STAMPS}/{folder.name}.json", json.dumps(facts).encode())
    except (OSError, SpecError):
        return  # backups on a read-only file system can be verified, too


def stamped(folder: Path) -> dict[str, object]:
    """Return the last note of :func:`stamp`; empty: none."""
    try:
        found: dict[str, object] = json.loads((folder.parent / STAMPS / f"{folder.name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return found
