"""Texts of single bytes: Windows-1252, which is latin-1 with signs (€ ’ –) where that has control characters."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

CHUNK = 1 << 22
_SIGNS = {byte: bytes([byte]).decode("cp1252", errors="ignore") or chr(byte) for byte in range(0x80, 0xA0)}


def decoded(raw: bytes) -> str:
    """Read bytes as Windows-1252; the five that it does not have are control characters, as on the web."""
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1").translate(_SIGNS)


def copied_as_utf8(files: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """Copy files (also .gz) as UTF-8 into a folder, some megabytes at a time; give the copy of each."""
    folder.mkdir(exist_ok=True)
    copies = {}
    for file in files:
        copies[file] = folder / f"{len(list(folder.iterdir()))}.csv"
        packed = file.name.lower().endswith(".gz")
        with gzip.open(file, "rb") if packed else file.open("rb") as source, copies[file].open("wb") as target:
            while chunk := source.read(CHUNK):
                target.write(decoded(chunk).encode())
    return copies
