"""Copies a storage folder into an object store: published folders as such, other files under their own names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import AimassError, BackupError
from pipelines.migration.files import Part, Say
from pipelines.settings import Settings
from pipelines.storage import MANIFEST, remote_of
from pipelines.storage.file_io import file_sha256
from pipelines.storage.remote import Remote

MODELS = "models"


def copy_into_bucket(part: Part, new: Settings, scratch: Path, say: Say) -> tuple[int, list[str]]:
    """Send what is lacking, and read everything back; return how many files were sent, and what is damaged.

    Raises
    ------
    BackupError
        Another file is there.
    """
    remote = remote_of(new)
    assert remote is not None
    check = Remote(remote.store, scratch)
    folders, loose = _sorted_out(part)
    sent, faults = 0, []
    for number, folder in enumerate(folders, 1):
        uri = folder.as_posix()
        if not remote.is_published(uri):
            digest, files = _facts(part.source / folder)
            remote.publish(part.source / folder, uri, digest, files)
            sent += len(files)
        try:
            check.bring(uri)
        except AimassError as error:
            faults.append(f"{uri}: {error}")
        finally:
            shutil.rmtree(scratch / uri, ignore_errors=True)
        if number % 50 == 0:
            say(f"{part.name}: {number} of {len(folders)} folders")
    for path in loose:
        sent += _send(remote, part.source / path, path.as_posix(), scratch / "read-back")
    say(f"{part.name}: {len(folders)} folders and {len(loose)} other files, {sent} files sent, all read back")
    return sent, faults


def send_files(part: Part, prefix: str, new: Settings, scratch: Path, say: Say) -> int:
    """Send files below a prefix of the storage, as they are, and read them back; return how many were sent.

    Raises
    ------
    BackupError
        Another file is there.
    """
    remote = remote_of(new)
    assert remote is not None
    paths = list(part.paths())
    sent = sum(
        _send(remote, part.source / path, f"{prefix}/{path.as_posix()}", scratch / "read-back") for path in paths
    )
    say(f"{part.name}: {len(paths)} files, {sent} sent, all read back")
    return sent


def _sorted_out(part: Part) -> tuple[list[Path], list[Path]]:
    """Return the published folders, the outermost where they lie in each other, and the files outside of them."""
    paths = list(part.paths())
    folders: list[Path] = []
    for folder in sorted({path.parent for path in paths if path.name == MANIFEST}):
        if not (folders and folder.is_relative_to(folders[-1])):
            folders.append(folder)
    known = set(folders)
    return folders, [path for path in paths if known.isdisjoint(path.parents)]


def _facts(folder: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return digest and files of a published folder, as they are when it is published into an object store."""
    manifest = folder / MANIFEST
    own = _of(manifest)
    if folder.parent.parent.name == MODELS:  # a signed model directory: its digest is that of the manifest
        return str(own["sha256"]), {path.relative_to(folder).as_posix(): _of(path) for path in _files(folder)}
    listed = json.loads(manifest.read_text())
    return listed["digest"], {**listed["files"], MANIFEST: own}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _of(path: Path) -> dict[str, Any]:
    return {"sha256": file_sha256(path), "bytes": path.stat().st_size}


def _send(remote: Remote, source: Path, key: str, read_back: Path) -> int:
    """Send a file unless it is there; tell whether it was sent."""
    wanted = file_sha256(source)
    there = _read(remote, key, read_back)
    if there == wanted:
        return 0
    if there is not None:
        raise BackupError(
            "another file is in the new place",
            where=remote.store.where(key),
            expected=f"no file, or that of {source}",
            cure="name another prefix, or remove what another installation left there",
        )
    remote.store.send(key, source)
    if _read(remote, key, read_back) != wanted:
        raise BackupError("a file was not stored as it was sent", where=remote.store.where(key), cure="try again")
    return 1


def _read(remote: Remote, key: str, path: Path) -> str | None:
    try:
        return remote.store.fetch(key, path)
    finally:
        path.unlink(missing_ok=True)
