"""Files in an object store (``s3://``), read from local copies."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import AimassError, DataError
from pipelines.ingestion.files.sources import SourceAwayError, fits, is_table, may_be_table
from pipelines.settings import Settings, make_private
from pipelines.storage import disk_errors

if TYPE_CHECKING:
    import pyarrow.fs as pafs

TIMEOUT = 20.0
CHUNK = 1 << 22
KEPT_DAYS = 30
"""Days after which a copy that no night has used is removed."""
_AWAY = (
    "NETWORK_CONNECTION",
    "REQUEST_TIMEOUT",
    "SLOW_DOWN",
    "THROTTLING",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "HTTP status 5",
)
"""Parts of error messages that are transient."""


class Mirror:
    """Copies of objects under ``cache/s3/`` of the home; one is fetched again when its size or time has changed.

    Address and credentials come from the environment that S3 tools share: ``AWS_ENDPOINT_URL``, ``AWS_REGION``,
    ``AWS_ACCESS_KEY_ID`` and so on. Copies of objects that are no longer listed, or that no night has asked for in
    ``KEPT_DAYS``, are removed; the whole folder may be at any time.
    """

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / "cache" / "s3"
        self._objects: dict[Path, tuple[str, int, int]] = {}

    @cached_property
    def _store(self) -> pafs.S3FileSystem:
        import pyarrow.fs as pafs

        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        scheme, _, host = (endpoint or "").rpartition("://")
        return pafs.S3FileSystem(
            endpoint_override=host or None,
            scheme=scheme or "https",
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            connect_timeout=TIMEOUT,
            request_timeout=TIMEOUT,
            retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=3),
        )

    def local_path(self, address: str) -> Path:
        """Return the local path of an object, or of a folder of objects."""
        return self.folder.joinpath(*_parts(address))

    def find(self, pattern: str) -> list[Path]:
        """Return the local paths of the objects that an address, folder or glob names, by name; nothing is fetched yet.

        Raises
        ------
        DataError
            If the store refuses, nothing matches, or a name cannot be that of a file.
        SourceAwayError
            If the store does not respond: transient.
        """
        import pyarrow.fs as pafs

        parts = _parts(pattern)
        plain = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        start = "/".join(parts[:plain])
        try:
            if plain == len(parts):
                there = self._store.get_file_info(start)
                found = [there] if there.type == pafs.FileType.File else None
            else:
                found = None
            if found is None:
                found = self._store.get_file_info(pafs.FileSelector(start, allow_not_found=True, recursive=True))
        except OSError as error:
            raise _refused(pattern, error) from None
        objects = [item for item in found if item.type == pafs.FileType.File]
        if plain < len(parts):
            objects = [item for item in objects if fits(item.path.split("/"), parts)]
        elif len(objects) != 1 or objects[0].path != start:
            tables = [item for item in objects if is_table(item.base_name)]
            objects = tables or [item for item in objects if may_be_table(item.base_name)]
        odd = [item.path for item in objects if {"", ".", ".."} & set(item.path.split("/"))]
        if odd:
            raise DataError(
                "names of objects that cannot be those of files",
                where=pattern,
                seen=odd[0],
                expected="names without empty parts, '.' and '..'",
                cure="rename them in the store, or narrow 'path' in Files",
                faults=odd,
            )
        self._tidy(parts[:plain], {self.folder.joinpath(*item.path.split("/")) for item in found})
        if not objects:
            raise DataError(
                "no source file",
                where=pattern,
                seen="nothing there that matches",
                expected="at least one object of CSV, Parquet or JSON lines",
                cure="correct 'path' in Files, or wait for the object",
            )
        for item in objects:
            stamp = item.mtime_ns if item.mtime_ns is not None else 0
            self._objects[self.folder.joinpath(*item.path.split("/"))] = (item.path, item.size, stamp)
        return sorted(self._objects)

    def fetch(self, local_paths: Sequence[Path]) -> None:
        """Copy the objects of these local paths that are not here yet, each whole or not at all.

        Raises
        ------
        DataError
            If one cannot be read to its end.
        """
        for local_path in local_paths:
            path, size, stamp = self._objects[local_path]
            if local_path.is_file() and (local_path.stat().st_size, local_path.stat().st_mtime_ns) == (size, stamp):
                os.utime(local_path, ns=(time.time_ns(), stamp))
                continue
            make_private(local_path.parent)
            partial = local_path.with_name(f".{local_path.name}.{os.getpid()}")
            try:
                with (
                    disk_errors(local_path),
                    self._store.open_input_stream(path) as source,
                    partial.open("wb") as target,
                ):
                    shutil.copyfileobj(source, target, CHUNK)
            except OSError as error:
                partial.unlink(missing_ok=True)
                raise _refused(f"s3://{path}", error) from None
            if partial.stat().st_size != size:
                partial.unlink()
                raise _refused(f"s3://{path}", OSError(f"the object is no longer {size} bytes long"))
            os.utime(partial, ns=(time.time_ns(), stamp))
            partial.replace(local_path)

    def _tidy(self, listed: Sequence[str], there: set[Path]) -> None:
        """Remove copies below ``listed`` whose objects are gone, and copies that were not used for a long time."""
        begin = self.folder.joinpath(*listed)
        oldest = time.time() - KEPT_DAYS * 86_400
        for folder, _, names in os.walk(self.folder, topdown=False):
            for copy in (Path(folder, name) for name in names):
                gone = copy.is_relative_to(begin) and copy not in there and not copy.name.startswith(".")
                with contextlib.suppress(FileNotFoundError):  # another night tidies too
                    if gone or copy.stat().st_atime < oldest:
                        copy.unlink()
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(folder)


def _parts(address: str) -> list[str]:
    parts = [part for part in address.removeprefix("s3://").split("/") if part]
    if not parts or any(part in (".", "..") for part in parts):
        raise DataError(
            "no address of an object store",
            where=address,
            expected="s3://bucket/folder/file.csv",
            cure="correct 'path' in Files",
        )
    return parts


def _refused(address: str, error: OSError) -> AimassError:
    text = str(error).splitlines()[0]
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        if os.environ.get(name):
            text = text.replace(os.environ[name], "***")
    if any(mark in text for mark in _AWAY):
        return SourceAwayError(
            "an object store does not respond",
            where=address,
            seen=text[:400],
            expected=f"a store at {os.environ.get('AWS_ENDPOINT_URL') or 'the address of AWS_REGION'}",
            cure="the next attempt may find it back; else check AWS_ENDPOINT_URL, AWS_REGION and the network",
        )
    return DataError(
        "an object store cannot be read",
        where=address,
        seen=text[:400],
        expected="objects that these credentials may list and read",
        cure="check AWS_ENDPOINT_URL, AWS_REGION, the credentials (AWS_ACCESS_KEY_ID, …) and the address",
    )
