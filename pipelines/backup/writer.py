"""Takes files into a backup: what did not change since the newest one is not read again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.backup.copying import files_below
from pipelines.backup.store import CHUNK, Incoming, in_parallel

Entry = dict[str, Any]
"""Of one file: ``bytes``, ``chunks`` (names, in order), and ``stat`` and ``sha256`` where they are known."""
RACY_NS = 2_000_000_000
"""A file that changed less than this before the newest backup was begun may have changed again within one tick."""


class Writer:
    """The files of one backup in the making.

    Parameters
    ----------
    incoming
        Takes their content.
    base
        Entries of the newest backup, by name.
    base_ns
        When that was begun, nanoseconds since 1970.
    """

    def __init__(self, incoming: Incoming, base: Mapping[str, Entry], base_ns: int) -> None:
        self.incoming, self.base, self.base_ns = incoming, base, base_ns
        self.files: dict[str, Entry] = {}

    def add(self, name: str, source: Path, *, remember: bool = True) -> None:
        """Take one file; ``remember`` is False for a copy that was made for the backup, which is new each time."""
        entry = self._take(name, source)
        if not remember:
            entry.pop("stat")
        self.files[name] = entry

    def add_text(self, name: str, text: str) -> None:
        """Take a small text."""
        content = text.encode()
        self.files[name] = {
            "bytes": len(content),
            "chunks": [self.incoming.put(content, hashlib.sha256(content).digest())],
        }

    def read_tree(self, source: Path, target: str, *, signed: bool = False) -> dict[str, Entry]:
        """Return the entries of all files below a folder; :attr:`files` gets them once the caller found them sound.

        Parameters
        ----------
        target
            Name of the folder in the backup.
        signed
            With the sha256 of each file, for comparison with the folder's own manifest.
        """
        names = [path.relative_to(source).as_posix() for path in files_below(source)]
        entries = in_parallel(lambda name: self._take(f"{target}/{name}", source / name, signed), names)
        return {f"{target}/{name}": entry for name, entry in zip(names, entries, strict=True)}

    def _take(self, name: str, source: Path, signed: bool = False) -> Entry:
        known = self.base.get(name)
        if known is not None and self._is_same(known, os.lstat(source), signed):
            return known
        with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as stream:
            info = os.fstat(stream.fileno())
            whole = hashlib.sha256() if signed and info.st_size > CHUNK else None
            chunks, size, digest = [], 0, hashlib.sha256(b"").digest()
            while block := stream.read(CHUNK):
                size += len(block)
                digest = hashlib.sha256(block).digest()
                chunks.append(self.incoming.put(block, digest))
                if whole is not None:
                    whole.update(block)
        entry: Entry = {"bytes": size, "chunks": chunks, "stat": state(info)}
        if signed:
            entry["sha256"] = (whole.digest() if whole is not None else digest).hex()
        return entry

    def _is_same(self, known: Entry, info: os.stat_result, signed: bool) -> bool:
        return (
            known.get("stat") == state(info)
            and info.st_ctime_ns < self.base_ns - RACY_NS
            and (not signed or "sha256" in known)
            and all(self.incoming.has(chunk) for chunk in known["chunks"])
        )


def state(info: os.stat_result) -> list[int]:
    """Return what changes with a file's content: size, times of change, inode."""
    return [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
