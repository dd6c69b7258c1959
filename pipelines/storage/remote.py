"""Published folders in an object store, and this machine's copies of them.

A folder ``uri`` is the object ``<uri>/published.json``, which lists its files with their sha256, and these below
``<uri>/.<token>/``. That object is written last and only once, so a reader sees nothing or everything, and of two
writers one wins. What a killed writer leaves has no such object and is removed by housekeeping.

A copy lies below ``settings.storage`` as the folder would, with that object's content in ``.copies/<uri>.json``, whose
time is that of its last use.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.artifacts import sync_folder, write_atomic
from pipelines.errors import AimassError, DataError, DiskFullError
from pipelines.locks import try_lock, wait_for_lock
from pipelines.object_store import Listed, ObjectStore, at_once, open_store
from pipelines.settings import Settings, make_private
from pipelines.storage.file_io import file_sha256, link_or_copy

RECORD = "published.json"
COPIES, LOCKS = ".copies", ".locks"
FORMAT = 1
Files = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Found:
    """What lies below one address in the store."""

    uri: str
    bytes: int
    changed: datetime
    """When the newest of it was written."""
    published: bool
    """Whether it is a whole folder; else it is what a killed writer left."""
    objects: tuple[Listed, ...]


class Remote:
    """The published folders of one object store, with copies below ``root``."""

    def __init__(self, store: ObjectStore, root: Path) -> None:
        self.store, self.root = store, root

    def publish(self, folder: Path, uri: str, digest: str, files: Files) -> bool:
        """Send a folder; tell whether it is this one that is published now, for an equal one may have been before.

        Parameters
        ----------
        files
            ``{name: {"sha256", "bytes"}}`` of every file of the folder.

        Raises
        ------
        DataError
            If another result is published there.
        DiskFullError
            If the bucket is full; what was sent so far is removed.
        """
        there = self._read(uri)
        if there is None:
            token = f".{secrets.token_hex(8)}"
            keys = {name: f"{uri}/{token}/{name}" for name in files}
            record = {"format": FORMAT, "at": token, "digest": digest, "files": files}
            content = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
            try:
                at_once(lambda name: self.store.send(keys[name], folder / name), sorted(files))
                first = self.store.put_new(f"{uri}/{RECORD}", content)
            except DiskFullError:
                with suppress(AimassError):  # housekeeping removes it
                    self.store.delete(keys.values())
                raise
            if first:
                self.drop(uri)  # what is left of one that was removed
                self._note(uri, content)
                return True
            self.store.delete(keys.values())
            there = self._read(uri)
        if there is None or json.loads(there)["digest"] != digest:
            raise DataError(
                "another result is already published under this address",
                where=self.store.where(uri),
                seen="a folder with a different digest",
                expected=digest,
                cure="remove nothing; run the night again under a new run id",
            )
        return False

    def remove(self, uri: str) -> bool:
        """Remove a folder, or all below an address, with the copies; tell whether anything was there.

        A folder is gone in one step for its readers.
        """
        keys = [each.key for each in self.store.list(f"{uri}/")]
        self.store.delete([key for key in keys if key.endswith(f"/{RECORD}")])
        self.store.delete(keys)
        self.drop(uri)
        return bool(keys)

    def bring(self, uri: str, *, tables: bool = True) -> None:
        """Make the copy of a folder what is published; of a folder that is not, there is no copy then.

        Parameters
        ----------
        tables
            False: where there is no copy, bring the files that are not Parquet alone.

        Raises
        ------
        DataError
            If an object is missing or is not what was published.
        """
        content = self._read(uri)
        with self._lock(uri):
            if content is None:
                self.drop(uri)
                return
            listed: Files = json.loads(content)["files"]
            if self._noted(uri) == content and _is_whole(self.root / uri, listed):
                os.utime(self._note_of(uri))
                return
            if not tables:
                small = [name for name in listed if not name.endswith(".parquet")]
                self._bring_files(uri, json.loads(content), small)
                return
            staging = make_private(self.root / ".staging" / f"copy-{secrets.token_hex(6)}")
            try:
                self._fill(staging, uri, json.loads(content)["at"], listed)
                self.drop(uri)
                make_private((self.root / uri).parent)
                os.rename(staging, self.root / uri)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            self._note(uri, content)

    def bring_manifests(self, prefix: str, name: str) -> None:
        """Bring the file ``name`` of every folder published below ``prefix``, without the other files."""
        there = {found.uri for found in self.found(prefix) if found.published}
        for path in (self.root / prefix).glob(f"*/{name}"):
            if (uri := path.parent.relative_to(self.root).as_posix()) not in there:
                self.drop(uri)

        def one(uri: str) -> None:
            content = self._read(uri)
            if content is not None:
                self._bring_files(uri, json.loads(content), [name])

        at_once(one, [uri for uri in sorted(there) if not (self.root / uri / name).is_file()])

    def _bring_files(self, uri: str, record: Mapping[str, Any], names: Sequence[str]) -> None:
        """Fetch those of some files of a folder that are not here; the next whole copy replaces what they are in."""

        def one(name: str) -> None:
            target = self.root / uri / name
            partial = make_private(target.parent) / f".{target.name}.{secrets.token_hex(4)}"
            self._fetch(f"{uri}/{record['at']}/{name}", partial, record["files"][name]["sha256"])
            partial.rename(target)

        at_once(one, [name for name in names if not (self.root / uri / name).is_file()])

    def is_published(self, uri: str) -> bool:
        """Tell whether a folder is published."""
        return self._read(uri) is not None

    def found(self, prefix: str) -> Iterator[Found]:
        """Yield what lies below ``prefix``: published folders, and what killed writers left of others."""
        groups: dict[str, list[Listed]] = {}
        for each in self.store.list(f"{prefix}/"):
            groups.setdefault(each.key.split("/.")[0].removesuffix(f"/{RECORD}"), []).append(each)
        for uri, listed in groups.items():
            changed = max(each.changed for each in listed).astimezone(UTC)
            published = any(each.key == f"{uri}/{RECORD}" for each in listed)
            yield Found(uri, sum(each.bytes for each in listed), changed, published, tuple(listed))

    def leftovers(self, found: Found) -> list[Listed]:
        """Return the objects below one address that its record does not name: their writers were killed, or lost."""
        files = [each for each in found.objects if each.key != f"{found.uri}/{RECORD}"]
        tokens = {each.key.removeprefix(f"{found.uri}/").split("/")[0] for each in files}
        if found.published and len(tokens) == 1:
            return []
        content = self._read(found.uri) if found.published else None
        own = "" if content is None else f"{found.uri}/{json.loads(content)['at']}/"
        return [each for each in files if not (own and each.key.startswith(own))]

    def copies(self) -> list[tuple[str, float, int]]:
        """Return the copies, the longest unused first: uri, time of the last use, bytes."""
        found = []
        for note in (self.root / COPIES).rglob("*.json"):
            uri = note.relative_to(self.root / COPIES).as_posix().removesuffix(".json")
            with suppress(OSError, ValueError, KeyError):
                size = sum(each["bytes"] for each in json.loads(note.read_bytes())["files"].values())
                found.append((uri, note.stat().st_mtime, size))
        return sorted(found, key=lambda copy: copy[1])

    def drop(self, uri: str) -> None:
        """Remove a copy, or all copies below an address."""
        self._note_of(uri).unlink(missing_ok=True)
        shutil.rmtree(self.root / COPIES / uri, ignore_errors=True)
        doomed = make_private(self.root / ".staging") / f".removed-{secrets.token_hex(6)}"
        with suppress(FileNotFoundError):
            os.rename(self.root / uri, doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def drop_unused(self, uri: str, since: float) -> bool:
        """Remove a copy unless somebody brings it, or has used it after a time; tell whether it was removed."""
        held = try_lock(self._lock_path(uri))
        if held is None:
            return False
        with held:
            note = self._note_of(uri)
            if not note.exists() or note.stat().st_mtime > since:
                return False
            self.drop(uri)
            return True

    def _fill(self, staging: Path, uri: str, token: str, listed: Files) -> None:
        """Put the files of a folder into ``staging``: those that another copy has are linked, the others fetched."""
        here = self._by_sha256()

        def one(name: str) -> None:
            digest, target = listed[name]["sha256"], make_private((staging / name).parent) / Path(name).name
            for copy in here.get(digest, ()):
                with suppress(OSError):
                    if file_sha256(copy) == digest:
                        link_or_copy(copy, target)
                        return
            self._fetch(f"{uri}/{token}/{name}", target, digest)

        at_once(one, sorted(listed))
        for folder in {(staging / name).parent for name in listed}:
            sync_folder(folder)

    def _fetch(self, key: str, target: Path, digest: str) -> None:
        seen = self.store.fetch(key, target)
        if seen != digest:
            target.unlink(missing_ok=True)
            raise DataError(
                "a published folder is damaged",
                where=self.store.where(key),
                seen="no such object" if seen is None else f"sha256 {seen[:16]}…",
                expected=f"sha256 {digest[:16]}…, as when it was published",
                cure="run the night again, or restore the folder from a backup",
            )

    def _by_sha256(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for note in (self.root / COPIES).rglob("*.json"):
            uri = note.relative_to(self.root / COPIES).as_posix().removesuffix(".json")
            with suppress(OSError, ValueError, KeyError):
                for name, facts in json.loads(note.read_bytes())["files"].items():
                    found.setdefault(facts["sha256"], []).append(self.root / uri / name)
        return found

    def _read(self, uri: str) -> bytes | None:
        return self.store.get(f"{uri}/{RECORD}")

    def _note_of(self, uri: str) -> Path:
        return self.root / COPIES / f"{uri}.json"

    def _note(self, uri: str, content: bytes) -> None:
        make_private(self._note_of(uri).parent)
        write_atomic(self._note_of(uri), content)

    def _noted(self, uri: str) -> bytes | None:
        try:
            return self._note_of(uri).read_bytes()
        except FileNotFoundError:
            return None

    def _lock_path(self, uri: str) -> Path:
        return make_private(self.root / LOCKS) / hashlib.blake2b(uri.encode(), digest_size=1).hexdigest()

    def _lock(self, uri: str) -> Any:
        return wait_for_lock(self._lock_path(uri))


def _is_whole(folder: Path, listed: Files) -> bool:
    """Tell whether all files are there in their sizes; their content is checked where it is used."""
    try:
        return all((folder / name).stat().st_size == facts["bytes"] for name, facts in listed.items())
    except OSError:
        return False


def remote_of(settings: Settings, patience: float | None = None) -> Remote | None:
    """Return the object store that the storage is in; None: it is a folder. See :class:`ObjectStore`."""
    address = settings.storage_bucket
    return None if address is None else Remote(open_store(settings, address, patience), settings.storage)
