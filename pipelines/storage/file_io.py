"""File helpers: digests, hard links, last lines, flushing."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.settings import make_private, usable_cores

THREADS = 4
"""Threads that hash, encode or digest at once: more would wait for memory."""


def threads() -> int:
    """Return how many threads work on one table or folder."""
    return min(usable_cores(), THREADS)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_sha256(paths: Sequence[Path]) -> list[str]:
    """Return the sha256 of many files, several at a time."""
    if len(paths) < 2:
        return [file_sha256(path) for path in paths]
    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(file_sha256, paths))


_WRITTEN: dict[tuple[int, ...], str] = {}


def note_sha256(path: Path) -> str:
    """Return the sha256 of a file that was just written, and keep it for :func:`noted_sha256`."""
    digest = file_sha256(path)
    _WRITTEN[_state(path)] = digest
    return digest


def noted_sha256(paths: Sequence[Path]) -> list[str]:
    """Return the sha256 of files; files that this process noted and nobody changed since are not read again."""
    known = {path: _WRITTEN.get(_state(path)) for path in paths}
    others = [path for path in paths if known[path] is None]
    known |= dict(zip(others, files_sha256(others), strict=True))
    return [str(known[path]) for path in paths]


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced: inode, size and times."""
    now = path.stat()
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Hard-link a file that never changes; where that is not possible, copy it with its mode and times."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Hard-link or copy the files of a published folder, which never change; nothing where there is no such folder."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        linked = target / path.relative_to(source)
        make_private(linked.parent)
        link_or_copy(path, linked)


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log file; "no log" where it cannot be read."""
    try:
        with log.open(encoding="utf-8", errors="replace") as stream:
            return "".join(deque(stream, lines)).rstrip("\n")
    except OSError:
        return "no log"


def flush(path: Path) -> None:
    """Flush a file's content to disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
