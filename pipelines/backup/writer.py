"""Takes files into a backup: what did not change since the newest one is not read again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

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
        known = self.base.get(name)
        if known is not None and self._is_same(known, os.lstat(source), signed=False):
            self.files[name] = known
            return
        self.files[name] = self._read(source)
        if not remember:
            self.files[name].pop("stat")

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
        found: dict[str, Entry] = {}
        others: list[tuple[str, Path]] = []
        begin = len(os.fspath(source)) + 1
        for path in files_below(source):
            name = f"{target}/{os.fspath(path)[begin:]}"
            known = self.base.get(name)
            if known is not None and self._is_same(known, os.lstat(path), signed):
                found[name] = known
            else:
                others.append((name, path))
        read = in_parallel(lambda item: self._read(item[1], signed), others)
        return found | {name: entry for (name, _), entry in zip(others, read, strict=True)}

    def _read(self, source: Path, signed: bool = False) -> Entry:
        with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as stream:
            info = os.fstat(stream.fileno())
            entry: Entry = {"stat": state(info)}
            if signed:
                entry |= self._in_order(stream)
            else:
                starts = range(0, info.st_size, CHUNK)
                pieces = in_parallel(lambda start: self._piece(stream.fileno(), start), starts)
                entry |= {"bytes": sum(size for _, size in pieces), "chunks": [name for name, size in pieces if size]}
        return entry

    def _in_order(self, stream: IO[bytes]) -> Entry:
        """Read a file from its start to its end, with the sha256 of the whole."""
        whole, chunks, size = hashlib.sha256(), [], 0
        while block := stream.read(CHUNK):
            digest = hashlib.sha256(block).digest()
            chunks.append(self.incoming.put(block, digest))
            whole.update(block)
            size += len(block)
        return {"bytes": size, "chunks": chunks, "sha256": digest.hex() if len(chunks) == 1 else whole.hexdigest()}

    def _piece(self, descriptor: int, start: int) -> tuple[str, int]:
        block = os.pread(descriptor, CHUNK, start)
        return self.incoming.put(block, hashlib.sha256(block).digest()) if block else "", len(block)

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
