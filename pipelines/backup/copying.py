"""Copies one database, file or folder into a backup and hashes it while reading."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pipelines.errors import BackupError
from pipelines.settings import make_private

CHUNK = 1 << 20
WAIT_S = 30.0


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database that others are writing to, and check the copy.

    The backup API copies one consistent state in a single step: under WAL its writers never wait, otherwise they wait
    as long as the copy takes. The copy is left as one file, without write-ahead log.

    Raises
    ------
    BackupError
        If the source is no database or the copy does not pass SQLite's own integrity check.
    """
    make_private(target.parent)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=WAIT_S)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as error:
        raise BackupError(
            "a database cannot be copied",
            where=str(source),
            seen=error,
            expected="a readable SQLite database",
            cure="check the file with PRAGMA integrity_check; restore it from the last good backup if it is damaged",
        ) from None
    flush(target)
    faults = database_faults(target)
    if faults:
        raise BackupError(
            "a database is damaged",
            where=str(source),
            expected="PRAGMA integrity_check = ok",
            cure="stop the platform and restore this database from the last good backup",
            faults=faults,
        )


def database_faults(path: Path) -> list[str]:
    """Return what SQLite's integrity check finds wrong in a database that nobody writes to."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    except sqlite3.DatabaseError as error:
        return [f"{path.name}: {error}"]
    return [] if found == ["ok"] else [f"{path.name}: {line}" for line in found]


def copy_file(source: Path, target: Path) -> dict[str, Any]:
    """Copy one file (never through a symbolic link), flush it, and return its sha256 and bytes."""
    digest = hashlib.sha256()
    size = 0
    make_private(target.parent)
    with (
        open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as reader,
        open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writer,
    ):
        while block := reader.read(CHUNK):
            digest.update(block)
            size += len(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return {"sha256": digest.hexdigest(), "bytes": size}


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every regular file below ``folder``, in order; symbolic links are left out."""
    for path in sorted(folder.rglob("*")):
        if stat.S_ISREG(path.lstat().st_mode):
            yield path


def size_below(folder: Path) -> int:
    """Return the bytes of the files below ``folder``; a file that vanishes meanwhile counts as 0."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total


def flush(path: Path) -> None:
    """Flush a file's content to disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
