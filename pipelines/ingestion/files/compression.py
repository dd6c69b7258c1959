"""Compressed files: read as a stream, or unpacked if DuckDB cannot read them or cannot notice a truncated one."""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipelines.errors import DataError
from pipelines.full_disk import disk_errors
from pipelines.ingestion.files.sources import is_table, may_be_table, packing, plain_name, unreadable

CHUNK = 1 << 22
ALWAYS_BYTES = 1 << 30
"""Every file may unpack to this size."""
MOST_TIMES = 200
"""A larger file may unpack to this many times its size: tables pack to a tenth, rarely to a hundredth."""
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What the standard library and Arrow raise for files that are cut off, damaged or encrypted."""


def chunks(file: Path, size: int = CHUNK) -> Iterator[bytes]:
    """Yield a file's uncompressed bytes, at most ``size`` at a time.

    Raises
    ------
    DataError
        If it cannot be read to its end.
    """
    try:
        with _stream(file) as stream:
            while chunk := stream.read(size):
                yield chunk
    except _BROKEN as error:
        raise unreadable(file, str(getattr(error, "strerror", None) or error or type(error).__name__)) from None


def beginning(file: Path, size: int) -> bytes:
    """Return the first ``size`` uncompressed bytes of a file, or all if there are fewer."""
    found = b""
    for chunk in chunks(file, size):
        found += chunk
        if len(found) >= size:
            break
    return found[:size]


def content_name(file: Path) -> str:
    """Return the name of a file's content: without a compression suffix; of an archive, that of its table.

    Raises
    ------
    DataError
        If it is an archive that does not hold exactly one table.
    """
    if packing(file.name) != ".zip":
        return plain_name(file.name)
    try:
        with zipfile.ZipFile(file) as archive:
            return _member(archive, file).filename
    except _BROKEN as error:
        raise unreadable(file, str(error)) from None


def readable(files: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """Make files readable for DuckDB: return the path of a copy, in this folder, for each file that is not.

    Packed files are unpacked, some megabytes at a time: DuckDB reads gzip, and takes a zstd file that breaks off for a
    whole one. A path with a character that DuckDB takes for a pattern gets a link.

    Raises
    ------
    DataError
        If one is damaged, or unpacks to much more than a table of its size would.
    """
    paths = {}
    for file in files:
        source = file
        while _must_unpack(source):  # an archive may hold a packed table
            target = _new(folder, content_name(source))
            _unpack(source, target, file)
            if source != file:
                source.unlink()
            source = target
        if source == file and glob.has_magic(str(file)):
            source = _new(folder, file.name)
            source.symlink_to(file.absolute())
        if source != file:
            paths[file] = source
    return paths


def _new(folder: Path, name: str) -> Path:
    """Return a new path in a folder, with the suffix of the table's format."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = Path(plain_name(name)).suffix.lower()
    return folder / f"{len(list(folder.iterdir()))}{kind if kind.isascii() else ''}{packing(name)}"


def _must_unpack(file: Path) -> bool:
    kind = packing(file.name)
    return bool(kind) and (kind != ".gz" or plain_name(file.name).lower().endswith(".parquet"))


@contextmanager
def _stream(file: Path) -> Iterator[IO[bytes] | Any]:
    kind = packing(file.name)
    if kind == ".zip":
        with zipfile.ZipFile(file) as archive, archive.open(_member(archive, file)) as stream:
            yield stream
    elif kind == ".zst":
        import pyarrow as pa

        with pa.OSFile(str(file)) as packed, pa.CompressedInputStream(packed, "zstd") as unpacked:
            yield unpacked
    else:
        openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
        with openers.get(kind, open)(file, "rb") as stream:
            yield stream


def _member(archive: zipfile.ZipFile, file: Path) -> zipfile.ZipInfo:
    """Return the only table of an archive; raise if there are several."""
    there = [item for item in archive.infolist() if not item.is_dir() and "__MACOSX" not in Path(item.filename).parts]
    tables = [item for item in there if is_table(Path(item.filename).name)]
    tables = tables or [item for item in there if may_be_table(Path(item.filename).name)]
    proper = [item for item in tables if not plain_name(item.filename).lower().endswith(".txt")]  # no README
    if len(proper or tables) == 1:
        return (proper or tables)[0]
    raise DataError(
        "an archive holds several tables" if tables else "an archive holds no table",
        where=str(file),
        seen=", ".join(item.filename for item in (tables or there)[:8]) or "nothing",
        expected="exactly one file of CSV, Parquet or JSON lines",
        cure="unpack it, and name the file or the folder that is meant",
    )


def _unpack(source: Path, target: Path, file: Path) -> None:
    most = max(ALWAYS_BYTES, MOST_TIMES * file.stat().st_size)
    written = 0
    with disk_errors(target), target.open("wb") as output:
        for chunk in chunks(source):
            written += len(chunk)
            if written > most:
                raise DataError(
                    "a packed file unpacks to more than a table of its size would",
                    where=str(file),
                    seen=f"over {most / 1e9:.1f} GB from {file.stat().st_size / 1e6:.1f} MB",
                    expected=f"at most {ALWAYS_BYTES / 1e9:.0f} GB, or {MOST_TIMES} times its size",
                    cure="if it is what it should be, unpack it and name the unpacked file",
                )
            output.write(chunk)
