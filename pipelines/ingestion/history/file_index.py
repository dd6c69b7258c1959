"""What the nights have read: up to which date, and the digest of each file by its size and modification time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.errors import DataError
from pipelines.settings import Settings
from pipelines.storage import file_sha256, read_file, write_file

INDEX = "index.json"
RACY_NS = 2_000_000_000
"""A file written more recently may change within the resolution of its timestamp, so it is hashed again."""


@dataclass(frozen=True)
class FileVisit:
    """A file as it was when a night read it."""

    name: str
    sha256: str
    bytes: int
    mtime_ns: int


class Index:
    """The file ``index.json`` of one table's history.

    The digests in it only spare hashing; the moment of the last look decides what came late.
    """

    def __init__(self, settings: Settings, uri: str) -> None:
        self._settings, self._uri = settings, f"{uri}/{INDEX}"

    def looked(self) -> datetime | None:
        """Return the latest ``as_of`` of the nights that have read all there was."""
        looked = self._read()["looked"]
        return None if looked is None else datetime.fromisoformat(looked)

    def set_looked(self, as_of: datetime) -> None:
        """Record such a night."""
        self._update(looked=as_of.astimezone(UTC).isoformat())

    def look(self, files: Mapping[Path, str]) -> dict[Path, FileVisit]:
        """Return the digests of files; files that an earlier night hashed are not hashed again.

        Raises
        ------
        DataError
            If files cannot be read; lists all.
        """
        cached = self._read()["files"]
        now = time.time_ns()
        faults: list[str] = []

        def one(path: Path) -> FileVisit:
            name = files[path]
            try:
                before = path.stat()
                was = cached.get(name)
                same = was is not None and was[:2] == [before.st_size, before.st_mtime_ns]
                return FileVisit(name, was[2] if same else file_sha256(path), before.st_size, before.st_mtime_ns)
            except OSError as error:
                faults.append(f"{path}: {error.strerror or error}")
                return FileVisit(name, "", 0, 0)

        with ThreadPoolExecutor(self._settings.cores) as pool:
            found = list(pool.map(one, files))
        if faults:
            raise DataError(
                "source files cannot be read",
                where=os.path.commonpath([str(path.parent) for path in files]),
                seen=f"{len(faults)} of {len(files)} files",
                expected="files that this user may read",
                cure="correct their permissions or deliver them again, then clear the failed task",
                faults=sorted(faults),
            )
        settled = {
            look.name: [look.bytes, look.mtime_ns, look.sha256] for look in found if look.mtime_ns < now - RACY_NS
        }
        if any(cached.get(name) != entry for name, entry in settled.items()):
            self._update(files=cached | settled)
        return dict(zip(files, found, strict=True))

    def _read(self) -> dict[str, Any]:
        try:
            index: dict[str, Any] = json.loads(read_file(self._settings, self._uri) or b"")
        except ValueError:
            return {"looked": None, "files": {}}
        return index

    def _update(self, **values: Any) -> None:
        text = json.dumps(self._read() | values, ensure_ascii=False, sort_keys=True)
        write_file(self._settings, self._uri, text.encode())
