"""The store of chunks: each piece of content once, in a file named by its digest."""

from __future__ import annotations

import ctypes
import os
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pipelines.backup.blobs import BlobError, Blobs
from pipelines.object_store import ObjectStore, at_once
from pipelines.settings import make_private
from pipelines.storage.file_io import threads

CHUNK = 1 << 20
"""Bytes of a chunk: smaller files are one, larger ones are cut. A database changes page by page, in place."""
CHUNKS = "chunks"
T = TypeVar("T")
R = TypeVar("R")


class Store:
    """Reads chunks.

    Parameters
    ----------
    root
        Folder of the backups.
    blobs
        How chunks are encoded.
    remote
        The object store that has them; None: the folder has.
    """

    def __init__(self, root: Path, blobs: Blobs, remote: ObjectStore | None = None) -> None:
        self.root, self.blobs, self.remote = root, blobs, remote

    def path(self, name: str) -> Path:
        """Return the file of a chunk."""
        return self.root / CHUNKS / name[:2] / name

    def size(self, name: str) -> int | None:
        """Return the bytes that a chunk takes; None: it is not there."""
        if self.remote is not None:
            return self._sizes.get(name)
        try:
            return os.lstat(f"{self.root}/{CHUNKS}/{name[:2]}/{name}").st_size  # of thousands: no Path is made
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        """Return the content of a chunk.

        Raises
        ------
        BlobError
            If it is missing or damaged.
        """
        if self.remote is None:
            return read_chunk(self.path(name), name, self.blobs)
        blob = self.remote.get(_key(name))
        if blob is None:
            raise BlobError("missing")
        return self.blobs.check(name, blob, CHUNK)

    def add(self, name: str, blob: bytes) -> None:
        """Write a chunk into the object store."""
        assert self.remote is not None  # in a folder they are renamed to their place
        self.remote.put(_key(name), blob)

    def remove(self, names: Collection[str]) -> None:
        """Remove chunks."""
        if self.remote is not None:
            self.remote.delete([_key(name) for name in names])
            return
        for name in names:
            self.path(name).unlink()

    def set_aside(self, name: str) -> None:
        """Take a damaged chunk away, so that the next backup stores it again; its bytes are kept till then."""
        if self.remote is not None:
            if (blob := self.remote.get(_key(name))) is not None:
                self.remote.put(f"{_key(name)}.damaged", blob)
                self.remote.delete([_key(name)])
            return
        path = self.path(name)
        with suppress(OSError):  # missing, or on a read-only file system
            path.rename(path.with_name(f"{path.name}.damaged"))

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Names and sizes of all chunks in the object store, as they were when first asked for."""
        assert self.remote is not None
        return {each.key.rsplit("/", 1)[1]: each.bytes for each in self.remote.list(f"{CHUNKS}/")}

    def names(self) -> Iterator[str]:
        """Yield the names of all chunks, and of whatever else lies among them."""
        if self.remote is not None:
            yield from sorted(each.key.rsplit("/", 1)[1] for each in self.remote.list(f"{CHUNKS}/"))
            return
        for folder in sorted((self.root / CHUNKS).glob("*/")):
            yield from sorted(os.listdir(folder))


def _key(name: str) -> str:
    return f"{CHUNKS}/{name[:2]}/{name}"


def read_chunk(path: Path, name: str, blobs: Blobs) -> bytes:
    """Return the content of the chunk ``name`` from a file, never through a symbolic link; else a BlobError."""
    return blobs.check(name, _read_file(path), CHUNK)


def _read_file(path: Path, *, from_disk: bool = False) -> bytes:
    """Return a file's bytes; ``from_disk``: not from memory."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
            if from_disk:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return stream.read()
    except OSError as error:
        raise BlobError("missing" if isinstance(error, FileNotFoundError) else str(error.strerror)) from None


class Incoming:
    """The chunks of one backup in the making; new ones lie aside until all are on the disk and were read back.

    An object store gets each at once, where no manifest names it yet.

    Parameters
    ----------
    folder
        Where new chunks lie aside, on the store's file system.
    known
        Bytes that chunks take by the newest manifest: one of another size is damaged and is stored again.
    """

    def __init__(self, store: Store, folder: Path, known: Mapping[str, int]) -> None:
        self.store, self.folder, self.known = store, make_private(folder), known
        self.new: dict[str, int] = {}
        self._crc: dict[str, int] = {}
        self._there: dict[str, int] = {}
        self._lock = threading.Lock()

    def has(self, name: str) -> bool:
        """Tell whether the store holds a chunk, in the size that it was written with."""
        if name not in self._there:
            size = self.store.size(name)
            if size is None or self.known.get(name, size) != size:
                return False
            self._there[name] = size
        return True

    def put(self, content: bytes, digest: bytes) -> str:
        """Store a piece of content, whose sha256 is given, unless it is there; return its name."""
        name = self.store.blobs.name(digest)
        with self._lock:
            if name in self.new or self.has(name):
                return name
            self.new[name] = 0
        blob = self.store.blobs.encode(content)
        if self.store.remote is not None:
            self.store.add(name, blob)
            self.new[name] = len(blob)
            return name
        with open(os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(blob)
        self.new[name], self._crc[name] = len(blob), zlib.crc32(blob)
        return name

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Return the bytes that chunks of this backup take."""
        return {name: self.new[name] if name in self.new else self._there[name] for name in names}

    def publish(self, names: Collection[str]) -> None:
        """Put the new ones among ``names`` into the store: flushed, read back from the disk, then renamed.

        Raises
        ------
        BlobError
            If one does not read back; nothing is in the store then.
        """
        wanted = [name for name in self.new if name in names]
        if self.store.remote is not None:
            at_once(self.store.read, wanted)
            return
        sync_filesystem(self.folder)
        in_parallel(self._read_back, wanted)
        for prefix in {name[:2] for name in wanted}:
            make_private(self.store.root / CHUNKS / prefix)
        for name in wanted:
            os.rename(self.folder / name, self.store.path(name))
        sync_filesystem(self.store.root)

    def _read_back(self, name: str) -> None:
        """Compare the stored bytes with those that were written; `verify` and the drill decode them as well."""
        blob = _read_file(self.folder / name, from_disk=True)
        if zlib.crc32(blob) != self._crc[name]:
            raise BlobError("not what was written to the disk")


def in_parallel(work: Callable[[T], R], items: Collection[T]) -> list[R]:
    """Return the results of ``work``, which hashes, compresses or reads; the first error is raised."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(work, items))


def sync_filesystem(folder: Path) -> None:
    """Flush all that was written to a folder's file system: one wait instead of one for each small file."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if libc.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
