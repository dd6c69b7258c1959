"""Searches everything below a folder for secrets that must be nowhere in it, compressed files and tables, too."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq


def secrets_of(folder: Path) -> dict[str, bytes]:
    """Return the secrets of a home by file: whole files, and each value of a JSON object."""
    found = {}
    for path in sorted(folder.iterdir()):
        content = path.read_bytes().strip()
        if path.suffix == ".json":
            values = json.loads(content)
            found |= {f"{path.name}/{name}": str(value).encode() for name, value in values.items()}
        elif content.startswith(b"-----BEGIN"):
            found[path.name] = content.splitlines()[1]
        else:
            found[path.name] = content
    return {name: value for name, value in found.items() if len(value) >= 12}


def found_in(folder: Path, secrets: Mapping[str, bytes], without: Path) -> list[str]:
    """Return "secret in file" for each hit below ``folder``; the folder ``without`` is left out."""
    assert secrets
    hits = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and without not in path.parents:
            content = b"\n".join(_contents(path))
            hits += [f"{name} in {path.relative_to(folder)}" for name, value in secrets.items() if value in content]
    return hits


def _contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    elif path.suffix == ".parquet":
        yield json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
