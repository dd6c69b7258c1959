"""Files that a stage and the workers of a Dask cluster have in common.

Where the storage is a folder, all of them see it at the same path. Where it is an object store each host has copies of
its own: what is published is brought by whoever reads it, and what a stage and its workers write for one another goes
through objects below ``dask/<token>/``, which the stage removes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from secrets import token_hex

from pipelines import settings as settings_module
from pipelines.errors import DataError
from pipelines.settings import Settings, make_private
from pipelines.storage import MANIFEST, remote_of
from pipelines.storage.remote import Remote

OBJECTS = "dask"


@dataclass(frozen=True)
class Shared:
    """How files are shared while a stage works.

    Parameters
    ----------
    root
        Storage root of the stage; of an object store, that of its copies.
    token
        Names the objects of this stage; None: all hosts see the same folder.
    process
        That of the stage: it has its files.
    """

    root: Path
    token: str | None
    process: tuple[str, int]

    @property
    def is_elsewhere(self) -> bool:
        """Whether this process has to fetch what the stage has."""
        return self.token is not None and self.process != _process()

    def key(self, path: Path) -> str:
        """Return the key of a file's object."""
        return f"{OBJECTS}/{self.token}/{path.relative_to(self.root).as_posix()}"


_now: list[Shared] = []


@contextmanager
def shared_by(shared: Shared) -> Iterator[None]:
    """Share files in this way, in all threads of this process."""
    _now.append(shared)
    try:
        yield
    finally:
        _now.remove(shared)


@contextmanager
def shares(settings: Settings) -> Iterator[Shared]:
    """Yield how a stage with these settings shares files with workers; its objects are removed afterwards."""
    remote = remote_of(settings)
    shared = Shared(settings.storage.resolve(), None if remote is None else token_hex(8), _process())
    try:
        with shared_by(shared):
            yield shared
    finally:
        if remote is not None:
            remote.store.delete([each.key for each in remote.store.list(f"{OBJECTS}/{shared.token}/")])


def current() -> Shared | None:
    """Return how files are shared now; None: with nobody."""
    return _now[-1] if _now else None


def to_write(path: Path) -> Path:
    """Return where this process writes a file that the stage knows as ``path``; :func:`give` it when it is whole."""
    shared = current()
    if shared is None or not shared.is_elsewhere:
        return path
    here = _own(shared, path)
    make_private(here.parent)
    return here


def give(path: Path) -> None:
    """Let the others have the file that the stage knows as ``path``."""
    shared = current()
    if shared is not None and shared.token is not None:
        _remote().store.send(shared.key(path), _own(shared, path) if shared.is_elsewhere else path)
        if shared.is_elsewhere:
            _own(shared, path).unlink()


def take(path: Path) -> Path:
    """Return where this process finds a file that the stage has given."""
    shared = current()
    if shared is None or not shared.is_elsewhere:
        return path
    here = _own(shared, path)
    if not here.exists():
        _fetch(shared.key(path), here)
    return here


def take_all(folder: Path) -> None:
    """Fetch what workers have given below a folder of the stage."""
    shared = current()
    if shared is None or shared.token is None:
        return
    store, prefix = _remote().store, f"{shared.key(folder)}/"
    for each in store.list(prefix):
        path = folder / each.key.removeprefix(prefix)
        if not path.exists():
            make_private(path.parent)
            _fetch(each.key, path)


@dataclass(frozen=True)
class StoredFolder:
    """A folder with tables, or a part of one, that workers find by themselves.

    Parameters
    ----------
    path
        Where the stage has it.
    uri
        Address of the published folder that it is in; None: it is not published.
    """

    path: Path
    uri: str | None

    def told(self) -> StoredFolder:
        """Return what to tell other processes of it."""
        shared = current()
        if shared is None or shared.token is None or shared.is_elsewhere or self.uri is not None:
            return self
        inside = self.path.resolve()
        published = next((each for each in (inside, *inside.parents) if (each / MANIFEST).is_file()), None)
        if published is None or not published.is_relative_to(shared.root):
            return self
        return StoredFolder(self.path, published.relative_to(shared.root).as_posix())

    def here(self) -> Path:
        """Return where this process finds it; a copy is brought first."""
        shared = current()
        if shared is None or not shared.is_elsewhere or self.uri is None:
            return self.path
        inside = self.path.resolve().relative_to(shared.root / self.uri)
        return _brought(self.uri) / inside


@cache
def _brought(uri: str) -> Path:
    remote = _remote()
    remote.bring(uri)
    return remote.root / uri


@cache
def _remote() -> Remote:
    """Return the object store by this host's own settings."""
    remote = remote_of(settings_module.load())
    assert remote is not None  # workers are asked before they work
    return remote


def _own(shared: Shared, path: Path) -> Path:
    return _remote().root / path.relative_to(shared.root)


def _fetch(key: str, path: Path) -> None:
    partial = make_private(path.parent) / f".{path.name}.{token_hex(4)}"
    if _remote().store.fetch(key, partial) is None:
        raise DataError(
            "a file of this stage is gone",
            where=_remote().store.where(key),
            expected="what the stage or one of its workers wrote a moment ago",
            cure="run the night again",
        )
    os.replace(partial, path)


def _process() -> tuple[str, int]:
    return os.uname().nodename, os.getpid()
