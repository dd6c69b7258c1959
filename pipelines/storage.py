"""Published folders: written aside, flushed, renamed once, and checked against their manifest before every use."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.artifacts import canonical_json, sync_folder, write_atomic
from pipelines.digests import table_digest as table_digest
from pipelines.errors import AimassError, DataError
from pipelines.settings import Settings, make_private

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads

MANIFEST = "manifest.json"
FORMAT = 1
ROW_GROUP = 131_072
CHUNK = 1 << 20


def resolve(settings: Settings, uri: str) -> Path:
    """Give the place of a ref's ``uri``; one that leads out of the storage root is refused."""
    root = settings.storage.resolve()
    path = (root / uri).resolve()
    if not path.is_relative_to(root) or path == root:
        raise DataError(
            "an address leads out of the storage root",
            where=uri,
            expected=f"a path inside {root}",
            cure="do not edit refs by hand; run the night again",
        )
    return path


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn a full disk into one clear error; it is transient, so a retry after space returns succeeds."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(where if where.exists() else where.parent).free
        raise DiskFullError(
            "disk full",
            where=str(where),
            seen=f"{free / 1e6:.0f} MB free",
            expected="room for this stage's output",
            cure="free space on that file system and run the night again; what was live stays live",
        ) from None


class DiskFullError(AimassError):
    """No space is left for a stage's output."""

    kind = "DiskFullError"


def stage_folder(settings: Settings, name: str) -> Path:
    """Make an empty private folder for unpublished output, on the storage root's file system."""
    folder = settings.staging / f"{name}-{secrets.token_hex(6)}"
    return make_private(folder)


# --- publishing ---------------------------------------------------------------------------------------------------


def publish(
    staging: Path, target: Path, *, stage: str, rows: int | None = None, facts: dict[str, Any] | None = None
) -> str:
    """Seal ``staging`` with a manifest and rename it to ``target`` once; give the digest of its content.

    A reader of ``target`` sees nothing or the whole folder. A target that already holds the same digest is kept and
    the staging folder removed; one that holds something else is an error, for published folders are immutable.

    Parameters
    ----------
    staging
        Folder with the finished files, on the same file system as ``target``.
    target
        Where it shall appear.
    stage, rows, facts
        Recorded in the manifest; ``facts`` is what a retry needs to adopt the folder.
    """
    digest, files = describe(staging)
    manifest = {"format": FORMAT, "stage": stage, "rows": rows, "digest": digest, "facts": facts or {}, "files": files}
    for name in files:
        _flush(staging / name)
    for folder in {(staging / name).parent for name in files}:
        sync_folder(folder)
    write_atomic(staging / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
    make_private(target.parent)
    try:
        os.rename(staging, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if verify(target)["digest"] != digest:
            raise DataError(
                "another result is already published under this address",
                where=str(target),
                seen="a folder with a different digest",
                expected=digest,
                cure="remove nothing; run the night again under a new run id",
            ) from None
        shutil.rmtree(staging)
    sync_folder(target.parent)
    return digest


def describe(folder: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Give the digest of a folder's content and its file list.

    Tables (folders of Parquet) enter the digest by their full content, whatever their files and row groups are;
    all other files by their sha256.
    """
    files: dict[str, dict[str, Any]] = {}
    content: dict[str, str] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name == MANIFEST:
            continue
        files[name] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        if path.suffix == ".parquet":
            content.setdefault(path.parent.relative_to(folder).as_posix() + "/", "")
        else:
            content[name] = files[name]["sha256"]
    for name in [name for name in content if name.endswith("/")]:
        table = dataset(folder / name)
        content[name] = table_digest(table.scanner(batch_size=ROW_GROUP, use_threads=False).to_batches(), table.schema)
    return hashlib.blake2b(canonical_json(content).encode(), digest_size=32).hexdigest(), files


def verify(folder: Path) -> dict[str, Any]:
    """Check every file of a published folder against its manifest and give the manifest.

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
    for name in sorted(present & listed.keys()):
        size = (folder / name).stat().st_size
        if size != listed[name]["bytes"]:
            faults.append(f"{name}: {size} bytes, expected {listed[name]['bytes']}")
        elif file_sha256(folder / name) != listed[name]["sha256"]:
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


def adopt_model(settings: Settings, source: Path, name: str) -> tuple[str, str]:
    """Copy a signed model directory to ``models/<name>/<digest>/`` once; give its uri and digest.

    The digest is the sha256 of the directory's own signed manifest.
    """
    digest = file_sha256(source / MANIFEST)
    uri = f"models/{name}/{digest}"
    target = resolve(settings, uri)
    if not target.exists():
        staging = stage_folder(settings, f"model-{name}")
        shutil.copytree(source, staging, dirs_exist_ok=True)
        for path in staging.rglob("*"):
            if path.is_file():
                _flush(path)
        make_private(target.parent)
        try:
            os.rename(staging, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(staging)
        sync_folder(target.parent)
    return uri, digest


def file_sha256(path: Path) -> str:
    """Give the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


# --- tables -------------------------------------------------------------------------------------------------------


def write_table(data: pa.Table | Iterable[pa.RecordBatch], folder: Path, schema: pa.Schema | None = None) -> int:
    """Write one table as a folder of Parquet with page checksums; give its number of rows.

    Parameters
    ----------
    data
        A table, or batches that share ``schema`` (required then: a stream may be empty).
    folder
        Created; holds one file, ``part-00000.parquet``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    make_private(folder)
    if isinstance(data, pa.Table):
        schema, batches = data.schema, iter(data.to_batches(max_chunksize=ROW_GROUP))
    elif schema is None:
        raise TypeError("a stream of batches needs its schema")
    else:
        batches = iter(data)
    rows = 0
    path = folder / "part-00000.parquet"
    with disk_errors(path), pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in batches:
            if batch.num_rows:
                writer.write_batch(batch, row_group_size=ROW_GROUP)
                rows += batch.num_rows
    return rows


def dataset(folder: Path) -> pads.Dataset:
    """Open a folder of Parquet; its page checksums are verified as it is read."""
    import pyarrow.dataset as pads

    options = pads.ParquetFragmentScanOptions(page_checksum_verification=True)
    return pads.dataset(
        sorted(str(path) for path in folder.glob("*.parquet")),
        format=pads.ParquetFileFormat(default_fragment_scan_options=options),
    )


def read_table(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a whole table written by ``write_table``.

    Raises
    ------
    DataError
        If a file is damaged or is not Parquet.
    """
    import pyarrow as pa

    try:
        return dataset(folder).to_table(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            "a table cannot be read",
            where=str(folder),
            seen=str(error).splitlines()[0],
            expected="undamaged Parquet",
            cure="run the night again, or restore the folder from a backup",
        ) from None
