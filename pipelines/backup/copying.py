"""Copies one database, file or folder and hashes it while reading."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pipelines.errors import BackupError
from pipelines.settings import make_private

BLOCK = 1 << 20
WAIT_S = 30.0
PAGES = 1_000
"""Pages, of 4 KB mostly, that are copied before a database without write-ahead log is given to its writers again."""
PATIENCE_S = 5.0
"""How long writers may come between; a write begins the copy anew. Then the database gets a write-ahead log."""


class _WritersComeBetweenError(Exception):
    """The copy was begun anew for too long."""


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database that others are writing to.

    The backup API copies one consistent state. With a write-ahead log that is one step, for which writers never wait;
    otherwise small steps, between which they write and the copy begins anew. A database that is written to so often
    that it never ends gets a write-ahead log, as the ledger and Airflow's have from the start. The copy is left as one
    file, without.

    Raises
    ------
    BackupError
        If the source is no database.
    """
    make_private(target.parent)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=WAIT_S)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            copy.execute("PRAGMA synchronous=OFF")  # it is read into the backup and removed
            if not _copy_in_steps(live, copy):
                _use_write_ahead_log(source)
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


def require_sound(copy: Path, source: Path) -> None:
    """Raise a BackupError if the copy of a database does not pass SQLite's own quick check."""
    faults = database_faults(copy, "quick_check")
    if faults:
        raise BackupError(
            "a database is damaged",
            where=str(source),
            expected="PRAGMA quick_check = ok",
            cure="stop the platform and restore this database from the last good backup",
            faults=faults,
        )


def _copy_in_steps(live: sqlite3.Connection, copy: sqlite3.Connection) -> bool:
    """Copy a database without write-ahead log; return False if it has one, or if writers came between all the time."""
    if live.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return False
    end = time.monotonic() + PATIENCE_S

    def look(_status: int, _remaining: int, _total: int) -> None:
        if time.monotonic() > end:
            raise _WritersComeBetweenError

    try:
        live.backup(copy, pages=PAGES, progress=look, sleep=0.001)
    except _WritersComeBetweenError:
        return False
    return True


def _use_write_ahead_log(source: Path) -> None:
    with closing(sqlite3.connect(source, timeout=WAIT_S)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # where that cannot be, its writers wait for one step


def database_faults(path: Path, check: str = "integrity_check") -> list[str]:
    """Return what SQLite's own check finds wrong in a database that nobody writes to.

    Parameters
    ----------
    check
        Or ``quick_check``, which does not compare indexes with their tables.
    """
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            connection.execute(f"PRAGMA mmap_size={path.stat().st_size}")
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {check}")]
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
        while block := reader.read(BLOCK):
            digest.update(block)
            size += len(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return {"sha256": digest.hexdigest(), "bytes": size}


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every regular file below ``folder``, in order; symbolic links are left out."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


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
