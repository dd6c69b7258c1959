"""Copies files to the new place: each is read back, and one that has arrived already is not copied again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.backup.copying import copy_file, files_below
from pipelines.errors import BackupError
from pipelines.settings import make_private
from pipelines.storage.file_io import file_sha256

Say = Callable[[str], None]
TELL_EVERY = 64 << 20
"""Bytes after which the progress is told."""


@dataclass(frozen=True)
class Part:
    """Files below a folder of the old home that go below one of the new place."""

    name: str
    source: Path
    target: Path
    without: frozenset[str] = frozenset()
    """First parts of paths that are left out."""

    def paths(self) -> Iterator[Path]:
        """Yield the files, relative to the folder."""
        if not self.source.is_dir():
            return
        for path in files_below(self.source):
            relative = path.relative_to(self.source)
            if relative.parts[0] not in self.without:
                yield relative

    def size(self) -> tuple[int, int]:
        """Return the number of files and of bytes."""
        sizes = [(self.source / path).stat().st_size for path in self.paths()]
        return len(sizes), sum(sizes)


def copy_part(part: Part, say: Say) -> int:
    """Copy what is lacking; return how many files were copied.

    Raises
    ------
    BackupError
        Another file is there, or what was written is not what was read.
    """
    files, size = part.size()
    copied = done = told = 0
    for number, path in enumerate(part.paths(), 1):
        source, target = part.source / path, part.target / path
        if not _is_there(source, target):
            _copy(source, target)
            copied += 1
        done += source.stat().st_size
        if done - told >= TELL_EVERY and number < files:
            told = done
            say(f"{part.name}: {number} of {files} files, {done / 1e6:,.0f} of {size / 1e6:,.0f} MB")
    say(f"{part.name}: {files} files, {size / 1e6:,.1f} MB; {copied} copied, the others were there")
    return copied


def _is_there(source: Path, target: Path) -> bool:
    if not target.exists():
        return False
    if target.stat().st_size == source.stat().st_size and file_sha256(target) == file_sha256(source):
        return True
    raise BackupError(
        "another file is in the new place",
        where=str(target),
        seen="other content",
        expected=f"no file, or that of {source}",
        cure="name an empty place, or remove what another installation left there",
    )


def _copy(source: Path, target: Path) -> None:
    make_private(target.parent)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        read = copy_file(source, partial)
        if file_sha256(partial) != read["sha256"]:
            raise BackupError("a file was not written as it was read", where=str(target), cure="check the disk")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
