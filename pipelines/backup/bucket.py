"""Backups in an object store: what this machine keeps of them, and the lock that hosts share.

The store holds ``<name>/manifest.bin`` (written last, once: the backup is there from then on), ``<name>/manifest.sig``,
``chunks/<2>/<name>`` and ``.verified/<name>.json``, as a folder does. Manifests and notes have copies below
``settings.backups``; chunks have none.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.artifacts import write_atomic
from pipelines.backup import manifest
from pipelines.errors import AimassError, BackupError
from pipelines.object_store import ObjectStore, at_once, open_store
from pipelines.settings import Settings, make_private

STAMPS = ".verified"
LOCK, READERS = "lock.json", ".readers/"
STALE = timedelta(hours=24)
"""Age from which the lock of a backup or the mark of a reader is that of a dead process."""


def bucket_of(settings: Settings, patience: float | None = None) -> ObjectStore | None:
    """Return the object store of the backups; None: they are in a folder."""
    address = settings.backups_bucket
    return None if address is None else open_store(settings, address, patience)


def place_of(settings: Settings) -> str:
    """Return where the backups are, for people."""
    return settings.backups_bucket or str(settings.backups)


def mirror(settings: Settings, store: ObjectStore, wanted: frozenset[str] = frozenset()) -> None:
    """Make the copies of manifests and notes those of the store.

    Parameters
    ----------
    wanted
        Backups whose manifests are fetched again, whether there is a copy or not.
    """
    root = make_private(settings.backups)
    there = {name for name in store.folders("") if manifest.NAME.fullmatch(name)}
    here = {path.name for path in root.iterdir() if manifest.NAME.fullmatch(path.name)}
    for name in here - there | here & wanted:
        shutil.rmtree(root / name, ignore_errors=True)

    def one(name: str) -> None:
        parts = {part: store.get(f"{name}/{part}") for part in (manifest.MANIFEST, manifest.SIGNATURE)}
        if parts[manifest.MANIFEST] is not None:  # else it is being written, or its writer was killed
            folder = make_private(root / name)
            for part in (manifest.MANIFEST, manifest.SIGNATURE):
                write_atomic(folder / part, parts[part] or b"")

    at_once(one, sorted(there - (here - wanted)))
    _mirror_notes(root, store, there)


def _mirror_notes(root: Path, store: ObjectStore, there: set[str]) -> None:
    notes = make_private(root / STAMPS)
    known = {each.key.removeprefix(f"{STAMPS}/") for each in store.list(f"{STAMPS}/")}
    for path in notes.glob("*.json"):
        if path.name not in known:
            path.unlink(missing_ok=True)

    def one(file: str) -> None:
        content = store.get(f"{STAMPS}/{file}")
        if content is not None:
            write_atomic(notes / file, content)

    at_once(one, sorted(file for file in known if file.removesuffix(".json") in there))


def publish(store: ObjectStore, folder: Path) -> None:
    """Write the manifest of a backup whose chunks are all there: the backup is there from then on."""
    store.put(f"{folder.name}/{manifest.SIGNATURE}", (folder / manifest.SIGNATURE).read_bytes())
    if not store.put_new(f"{folder.name}/{manifest.MANIFEST}", (folder / manifest.MANIFEST).read_bytes()):
        raise BackupError(
            "another backup was published under this name",
            where=store.where(folder.name),
            seen="a manifest that is there already",
            expected="a name of its own: the time at which it was begun",
            cure="run the backup again",
        )


def remove(store: ObjectStore, name: str) -> None:
    """Remove a backup: first its manifest, so that nobody sees a part of it."""
    store.delete([f"{name}/{manifest.MANIFEST}"])
    store.delete([f"{name}/{manifest.SIGNATURE}", f"{STAMPS}/{name}.json"])


@contextmanager
def locked(store: ObjectStore, home: Path) -> Iterator[bool]:
    """Hold the lock that all hosts share; yield whether a killed backup had left it.

    The caller holds the lock of its own home, so one that this home has left is that of a dead process.
    """
    owner = {"host": socket.gethostname(), "home": str(home), "token": secrets.token_hex(8)}
    content = json.dumps({**owner, "at": datetime.now(UTC).isoformat()}).encode()
    left = False
    if not store.put_new(LOCK, content):
        held = json.loads(store.get(LOCK) or b"{}")
        age = datetime.now(UTC) - datetime.fromisoformat(held.get("at", "2000-01-01T00:00:00+00:00"))
        own = (held.get("host"), held.get("home")) == (owner["host"], owner["home"])
        if held and not own and age < STALE:
            raise BackupError(
                "another backup is running",
                where=store.where(LOCK),
                seen=f"of {held['home']} on {held['host']}, since {held['at'][:16]} UTC",
                expected="one at a time",
                cure=f"wait until it has ended; that of a host that died counts for {STALE.total_seconds() / 3600:g} h",
            )
        left = True
        store.put(LOCK, content)
    try:
        yield left
    finally:
        if store.get(LOCK) == content:
            store.delete([LOCK])


@contextmanager
def reading(store: ObjectStore) -> Iterator[None]:
    """Keep other hosts from removing backups; without the right to write there, nothing keeps them."""
    key = f"{READERS}{secrets.token_hex(8)}"
    with suppress(AimassError):
        store.put(key, socket.gethostname().encode())
    try:
        yield
    finally:
        with suppress(AimassError):
            store.delete([key])


def is_read(store: ObjectStore) -> bool:
    """Tell whether some host reads backups."""
    return any(each.changed > datetime.now(UTC) - STALE for each in store.list(READERS))
