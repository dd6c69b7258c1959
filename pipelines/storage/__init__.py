"""Published folders: written in staging, flushed, renamed once, and checked against their manifest before every use.

Where the storage is an object store (:mod:`pipelines.storage.remote`), paths are those of this machine's copies:
:func:`resolve` brings what is lacking, :func:`publish` sends.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.artifacts import sync_folder, write_json
from pipelines.errors import DataError
from pipelines.errors import DiskFullError as DiskFullError
from pipelines.full_disk import disk_errors as disk_errors
from pipelines.settings import Settings, make_private
from pipelines.storage.digests import table_digest as table_digest
from pipelines.storage.file_io import file_sha256 as file_sha256
from pipelines.storage.file_io import flush
from pipelines.storage.folders import FORMAT
from pipelines.storage.folders import MANIFEST as MANIFEST
from pipelines.storage.folders import describe as describe
from pipelines.storage.folders import verify as verify
from pipelines.storage.remote import Remote
from pipelines.storage.remote import remote_of as remote_of
from pipelines.storage.shared import STORED_LOGS as STORED_LOGS
from pipelines.storage.shared import bring_logs as bring_logs
from pipelines.storage.shared import bring_newest_logs as bring_newest_logs
from pipelines.storage.shared import read_file as read_file
from pipelines.storage.shared import sender as sender
from pipelines.storage.shared import write_file as write_file
from pipelines.storage.table_parts import ROW_GROUP as ROW_GROUP
from pipelines.storage.table_parts import ways_of_writing as ways_of_writing
from pipelines.storage.tables import dataset as dataset
from pipelines.storage.tables import encoded as encoded
from pipelines.storage.tables import read_table as read_table
from pipelines.storage.tables import write_table as write_table


def resolve(settings: Settings, uri: str, *, tables: bool = True) -> Path:
    """Return the path of a ref's ``uri``; one that leads out of the storage root is refused.

    Of a folder in an object store it is the path of a copy that is as published, content yet to be checked; with
    ``tables`` False it may lack its tables.
    """
    path = local_path(settings, uri)
    if (remote := remote_of(settings)) is not None:
        remote.bring(_uri(settings, path), tables=tables)
    return path


def local_path(settings: Settings, uri: str) -> Path:
    """Return the path of ``uri`` on this machine, whether it is there or not; see :func:`resolve`."""
    root = settings.storage.resolve()
    path = (root / uri).resolve()
    if not path.is_relative_to(root) or path == root:
        raise DataError(
            "an address leads out of the storage root",
            where=uri,
            expected=f"a path inside {root}",
            cure="do not edit refs by hand; run the night again",
        )
    return path


def _uri(settings: Settings, path: Path) -> str:
    return path.resolve().relative_to(settings.storage.resolve()).as_posix()


def open_folder(settings: Settings, uri: str) -> tuple[Path, dict[str, Any]]:
    """Return the path of a published folder and its manifest, every file checked against it.

    A copy of what is in an object store that was damaged on this machine is fetched again.

    Raises
    ------
    DataError
        If it is not there or damaged.
    """
    path = resolve(settings, uri)
    try:
        return path, verify(path)
    except DataError:
        remote = remote_of(settings)
        if remote is None or not path.is_dir():
            raise
        remote.drop(_uri(settings, path))
    return resolve(settings, uri), verify(path)


def is_published(settings: Settings, uri: str) -> bool:
    """Tell whether a folder is published."""
    remote = remote_of(settings)
    return local_path(settings, uri).is_dir() if remote is None else remote.is_published(uri)


def bring_manifests(settings: Settings, prefix: str) -> bool:
    """Make the manifests of all folders published right below ``prefix`` readable without their other files: true."""
    if (remote := remote_of(settings)) is not None:
        remote.bring_manifests(prefix, MANIFEST)
    return True


def bring_all(settings: Settings, prefix: str) -> None:
    """Bring every folder that is published below ``prefix``."""
    if (remote := remote_of(settings)) is not None:
        for found in remote.found(prefix):
            if found.published:
                remote.bring(found.uri)


def set_aside(settings: Settings, uri: str) -> None:
    """Take a damaged folder away, so that it can be made again."""
    path = local_path(settings, uri)
    if path.exists():
        path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
    if (remote := remote_of(settings)) is not None:
        remote.remove(uri)


def stage_folder(settings: Settings, name: str) -> Path:
    """Make an empty private folder for unpublished output, on the storage root's file system."""
    folder = settings.staging / f"{name}-{secrets.token_hex(6)}"
    return make_private(folder)


@contextmanager
def scratch(out: Path) -> Iterator[Path]:
    """Yield a private folder for what a stage sets aside while it works, below its output; it is removed in any case.

    It lies on the file system of the output, whose space is checked and reported.
    """
    folder = make_private(out / ".scratch")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- publishing ---------------------------------------------------------------------------------------------------


def publish(
    staging: Path,
    target: Path,
    *,
    stage: str,
    rows: int | None = None,
    facts: dict[str, Any] | None = None,
    settings: Settings | None = None,
) -> str:
    """Seal ``staging`` with a manifest and rename it to ``target`` once; return the digest of its content.

    A reader of ``target`` sees nothing or the whole folder. A target that already holds the same digest is kept and
    the staging folder removed; one that holds something else is an error, for published folders are immutable.

    Parameters
    ----------
    staging
        Folder with the finished files, on the same file system as ``target``.
    target
        Where it shall appear.
    stage, rows, facts
        Recorded in the manifest; ``facts`` is what a retry needs to adopt the folder.
    settings
        Whose object store, if the storage is in one, gets the folder; ``target`` is the copy then.
    """
    digest, files = describe(staging)
    manifest = {"format": FORMAT, "stage": stage, "rows": rows, "digest": digest, "facts": facts or {}, "files": files}
    for name in files:
        flush(staging / name)
    for folder in {(staging / name).parent for name in files}:
        sync_folder(folder)
    write_json(staging / MANIFEST, manifest, sort_keys=True, ensure_ascii=True)
    remote = None if settings is None else remote_of(settings)
    if remote is not None and settings is not None:
        _send(remote, staging, _uri(settings, target), digest, files)
    make_private(target.parent)
    try:
        os.rename(staging, target)
    except FileNotFoundError:
        if remote is None or not target.exists():
            raise
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if verify(target)["digest"] != digest:
            raise DataError(
                "another result is already published under this address",
                where=str(target),
                seen="a folder with a different digest",
                expected=digest,
                cure="remove nothing; run the night again under a new run id",
            ) from None
        shutil.rmtree(staging)
    sync_folder(target.parent)
    return digest


def _send(remote: Remote, folder: Path, uri: str, digest: str, files: dict[str, dict[str, Any]]) -> None:
    """Send a folder; where an equal one is published, that is brought in its place."""
    own = {} if MANIFEST in files else {MANIFEST: _facts(folder / MANIFEST)}
    if not remote.publish(folder, uri, digest, {**files, **own}):
        shutil.rmtree(folder)
        remote.bring(uri)


def _facts(path: Path) -> dict[str, Any]:
    return {"sha256": file_sha256(path), "bytes": path.stat().st_size}


def adopt_model(settings: Settings, source: Path, name: str) -> tuple[str, str]:
    """Copy a signed model directory to ``models/<name>/<digest>/`` once; return its uri and digest.

    The digest is the sha256 of the directory's own signed manifest.
    """
    digest = file_sha256(source / MANIFEST)
    uri = f"models/{name}/{digest}"
    target = resolve(settings, uri)
    if not target.exists():
        staging = stage_folder(settings, f"model-{name}")
        shutil.copytree(source, staging, dirs_exist_ok=True)
        paths = [path for path in sorted(staging.rglob("*")) if path.is_file()]
        for path in paths:
            flush(path)
        if (remote := remote_of(settings)) is not None:
            _send(remote, staging, uri, digest, {path.relative_to(staging).as_posix(): _facts(path) for path in paths})
            if not staging.exists():
                return uri, digest
        make_private(target.parent)
        try:
            os.rename(staging, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(staging)
        sync_folder(target.parent)
    return uri, digest
