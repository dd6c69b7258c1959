"""One thing that may go: what it is, how large, why; and how it is removed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from pipelines.locks import deletion_lock
from pipelines.settings import Settings, make_private
from pipelines.storage import remote_of

Kind = Literal[
    "results", "calls", "staging", "temporary", "predictions", "task logs", "logs", "versions", "orphans", "mlflow",
    "airflow", "copies", "usage", "tables",
]  # fmt: skip
ELSEWHERE: frozenset[Kind] = frozenset(("temporary", "airflow", "usage"))
"""What is not in the home, or in a database, whose copies are of one moment."""


@dataclass(frozen=True)
class Item:
    """One thing that may go."""

    kind: Kind
    what: str
    """Its path below the home, or its name."""
    bytes: int
    why: str
    remove: Callable[[], bool] = field(repr=False, compare=False)
    """Removes it; tells whether it was still there."""
    elsewhere: bool = False
    """It is in an object store: the home does not get smaller."""

    def remove_from(self, settings: Settings) -> bool:
        """Remove it from a home, but not while a backup reads there."""
        with nullcontext() if self.kind in ELSEWHERE else deletion_lock(make_private(settings.run_dir)):
            return self.remove()


def folder_item(settings: Settings, kind: Kind, path: Path, why: str) -> Item:
    """Return a file or folder below the home as an item."""
    name = path.relative_to(settings.home) if path.is_relative_to(settings.home) else path
    return Item(kind, str(name), size_of(path), why, lambda: remove_path(settings, path))


def old_folders(
    settings: Settings, kind: Kind, where: str, pattern: str, since: datetime, why: Callable[[str], str]
) -> Iterator[Item]:
    """Yield the folders of the storage at ``where/pattern`` that were last changed before a moment.

    Parameters
    ----------
    why
        Takes an address below the storage root and says why it may go; empty: it stays.
    """
    remote = remote_of(settings)
    if remote is None:
        for path in older((settings.storage / where).glob(pattern), since):
            if text := why(path.relative_to(settings.storage).as_posix()):
                yield folder_item(settings, kind, path, text)
        return
    for found in remote.found(where):
        if found.changed < since and (text := why(found.uri)):
            remove = partial(remote.remove, found.uri)
            yield Item(kind, remote.store.where(found.uri), found.bytes, text, remove, elsewhere=True)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 for what is gone."""
    with suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
    total, folders = 0, [os.fspath(path)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def older(paths: Iterable[Path], moment: datetime) -> Iterator[Path]:
    """Yield the paths that were last changed before a moment."""
    for path in paths:
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < moment.timestamp():
                yield path


def remove_path(settings: Settings, path: Path) -> bool:
    """Remove a file or folder, in one step for its readers; tell whether it was there."""
    doomed = settings.staging / f".removed-{secrets.token_hex(6)}"
    try:
        os.rename(path, doomed)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        doomed = path.with_name(doomed.name)  # the storage is on a file system of its own
        os.rename(path, doomed)
    if doomed.is_dir() and not doomed.is_symlink():
        shutil.rmtree(doomed, ignore_errors=True)  # what stays is found among the staging leftovers next time
    else:
        doomed.unlink()
    if path.parent != settings.staging:
        with suppress(OSError):  # others are in it
            path.parent.rmdir()
    return True
