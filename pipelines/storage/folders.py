"""What a published folder holds: its files, the digest of its content, and the check of one against the other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pipelines.artifacts import canonical_json
from pipelines.errors import DataError
from pipelines.storage.file_io import files_sha256, noted_sha256
from pipelines.storage.tables import FACTS, content_digest, recorded_digest

MANIFEST = "manifest.json"
FORMAT = 1


def describe(folder: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the digest of a folder's content and its file list.

    Tables (folders of Parquet) enter the digest by their full content, whatever their files and row groups are;
    all other files by their sha256.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    names = [path.relative_to(folder).as_posix() for path in paths]
    hashes = dict(zip(paths, noted_sha256(paths), strict=True))
    files = {
        name: {"sha256": hashes[path], "bytes": path.stat().st_size} for name, path in zip(names, paths, strict=True)
    }
    tables: dict[Path, dict[str, str]] = {}
    for path in paths:
        if path.suffix == ".parquet":
            tables.setdefault(path.parent, {})[path.name] = hashes[path]
    content = {}
    for name, path in zip(names, paths, strict=True):
        if path.parent not in tables or (path.suffix != ".parquet" and path.name != FACTS):
            content[name] = hashes[path]
    for table, parts in tables.items():
        content[table.relative_to(folder).as_posix() + "/"] = recorded_digest(table, parts) or content_digest(table)
    return hashlib.blake2b(canonical_json(content).encode(), digest_size=32).hexdigest(), files


def verify(folder: Path) -> dict[str, Any]:
    """Check every file of a published folder against its manifest and return the manifest.

    Raises
    ------
    DataError
        If the manifest is missing or unreadable, or a file is missing, added or changed; lists every fault.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        listed: dict[str, dict[str, Any]] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "a published folder has no readable manifest",
            where=str(folder),
            seen=f"{type(error).__name__}: {error}",
            expected=f"{MANIFEST} written when it was published",
            cure="run the night again, or restore the folder from a backup",
        ) from None
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    faults = [f"{name}: missing" for name in sorted(listed.keys() - present)]
    faults += [f"{name}: not in the manifest" for name in sorted(present - listed.keys())]
    whole = []
    for name in sorted(present & listed.keys()):
        size = (folder / name).stat().st_size
        if size != listed[name]["bytes"]:
            faults.append(f"{name}: {size} bytes, expected {listed[name]['bytes']}")
        else:
            whole.append(name)
    for name, digest in zip(whole, files_sha256([folder / name for name in whole]), strict=True):
        if digest != listed[name]["sha256"]:
            faults.append(f"{name}: content changed since it was published")
    if faults:
        raise DataError(
            "a published folder is damaged",
            where=str(folder),
            seen=f"{len(faults)} damaged file(s)",
            expected="the files its manifest lists",
            cure="run the night again, or restore the folder from a backup",
            faults=faults,
        )
    return manifest
