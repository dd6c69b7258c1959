"""Finds the files that a night reads."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from pipelines.errors import AimassError, DataError, SpecError
from pipelines.ingestion.files.file_dates import file_day
from pipelines.ingestion.spec import Files
from pipelines.mart.address import is_address
from pipelines.settings import Settings

PACKINGS = (".gz", ".zst", ".bz2", ".xz", ".zip")
"""Suffixes of compressed files; an archive holds one table."""
TABLES = tuple(
    f".{kind}{packed}" for kind in ("parquet", "csv", "tsv", "txt", "jsonl", "ndjson") for packed in ("", *PACKINGS)
)
NOTHING = "__HIVE_DEFAULT_PARTITION__"
"""Text that means null in a folder's name."""


class SourceAwayError(AimassError):
    """A database or an object store does not respond; transient, because a retry may succeed."""

    kind = "SourceAwayError"


def find_files(spec: Files, as_of: datetime, settings: Settings, zone: str = "UTC") -> list[Path]:
    """Return the files known at ``as_of``, by name; objects of a store as their copies on this machine.

    Of a published table (``mart:NAME``) they are those of the newest version that was published by then.

    With ``file_date``, a file of day D is complete when D is over: only files dated before the date of ``as_of``
    in ``zone`` count.

    Raises
    ------
    SpecError
        If the address is of a kind that cannot be read, or names no version of a published table that is kept.
    DataError
        If nothing matches, a matching name does not hold a date, or no file is old enough.
    """
    if is_address(spec.path):
        from pipelines.mart.tables import known_files

        return known_files(settings, spec.path, as_of)
    pattern = locate(spec.path, settings)
    if pattern.startswith("s3://"):
        from pipelines.ingestion.files.object_store import Mirror

        mirror = Mirror(settings)
        files = mirror.find(pattern)
        known = _known(spec, files, as_of, pattern, zone)
        mirror.fetch(known)
        return known
    files = _expand(pattern)
    if not files:
        raise DataError(
            "no source file",
            where=pattern,
            seen=_what_is_there(pattern),
            expected="at least one file of CSV, Parquet or JSON lines",
            cure="correct 'path' in Files, or wait for the file",
        )
    return _known(spec, files, as_of, pattern, zone)


def _known(spec: Files, files: list[Path], as_of: datetime, pattern: str, zone: str) -> list[Path]:
    if spec.file_date is None:
        return files
    days = {file: file_day(file, spec.file_date) for file in files}
    faults = [file.name for file, day in days.items() if day is None]
    if faults:
        raise DataError(
            "source files without a date in their name",
            where=pattern,
            seen=f"{len(faults)} of {len(files)} files",
            expected=f"names like {spec.file_date}",
            cure="narrow 'path' or correct 'file_date' in Files",
            faults=faults,
        )
    today = as_of.astimezone(ZoneInfo(zone)).date()
    dated = [file for file, day in days.items() if day is not None and day.date() < today]
    if not dated:
        raise DataError(
            "no source file is dated before the night",
            where=pattern,
            seen=f"{len(files)} file(s), {files[0].name} … {files[-1].name}",
            expected=f"a file dated before {as_of.date()}",
            cure="run the night at a later date",
        )
    return dated


def is_incremental(spec: Files, settings: Settings) -> bool:
    """Tell whether the rows read are kept as history."""
    if spec.incremental is not None:
        return spec.incremental
    if is_address(spec.path):
        return False  # its versions are kept as they are
    pattern = locate(spec.path, settings)
    return spec.file_date is not None or _is_glob(pattern) or Path(pattern).is_dir() or pattern.endswith("/")


def root_of(spec: Files, settings: Settings) -> Path:
    """Return the folder that the names of a source's files are relative to."""
    if is_address(spec.path):
        return settings.storage
    pattern = locate(spec.path, settings)
    if pattern.startswith("s3://"):
        from pipelines.ingestion.files.object_store import Mirror

        pattern = str(Mirror(settings).local_path(pattern))
    parts = Path(pattern).parts
    if _is_glob(pattern):
        return Path(*parts[: _plain(parts)])
    return Path(pattern).parent if Path(pattern).is_file() else Path(pattern)


def is_named(spec: Files, settings: Settings, name: str) -> bool:
    """Tell whether a source includes a file, given relative to its root, even if it no longer exists."""
    pattern = locate(spec.path, settings).removeprefix("s3://")
    parts = [part for part in pattern.split("/") if part]
    if _is_glob(pattern):
        return fits(name.split("/"), parts[_plain(parts) :])
    file = (is_table(parts[-1]) or may_be_table(parts[-1])) and not Path(pattern).is_dir()
    return name.split("/")[-1] == parts[-1] if file else True


def _is_glob(pattern: str) -> bool:
    return glob.has_magic(pattern) and not os.path.exists(pattern)


def _plain(parts: Sequence[str]) -> int:
    """Return the number of path parts before the first glob."""
    return next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))


def fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a path fits a glob: ``*`` stays within one folder, ``**`` goes through any number."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(fits(path[skipped:], pattern[1:]) for skipped in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and fits(path[1:], pattern[1:])


def partitions(files: Sequence[Path], root: Path) -> dict[Path, dict[str, str | None]]:
    """Return the columns in the folder names between root and file: ``day=2026-01-02`` is column ``day``."""
    found = {}
    for file in files:
        inside = file.relative_to(root).parts[:-1] if file.is_relative_to(root) else ()
        pairs = [part.split("=", 1) for part in inside if "=" in part]
        if pairs:
            found[file] = {name: None if value == NOTHING else unquote(value) for name, value in pairs}
    return found


def locate(source: str, settings: Settings) -> str:
    """Return the absolute pattern of a source: ``home:`` is below the home, other relative ones by the DAG folder."""
    if source.startswith("home:"):
        return str(settings.home / source.removeprefix("home:").lstrip("/"))
    if source.startswith("s3://") or is_address(source):
        return source
    if "://" in source:
        raise SpecError(
            "a source of this kind cannot be read",
            where=source,
            seen=source.split("://")[0] + "://",
            expected="a path or glob on this machine's file system, or s3://",
            cure="copy or mount the files, and name their path in Files",
        )
    return os.path.abspath(os.path.join(settings.dags.parent, os.path.expanduser(source)))


def is_table(name: str) -> bool:
    """Tell whether a file is a table, by its name; hidden and half-written files are not."""
    return name.lower().endswith(TABLES) and not name.startswith((".", "_"))


def may_be_table(name: str) -> bool:
    """Tell whether a file may be a table if no other file is one: not every ``.json`` file is a table."""
    return plain_name(name).lower().endswith(".json") and not name.startswith((".", "_"))


def packing(name: str) -> str:
    """Return the compression suffix of a file's name; empty if there is none."""
    return next((end for end in PACKINGS if name.lower().endswith(end)), "")


def plain_name(name: str) -> str:
    """Return a file's name without its compression suffix."""
    return name[: len(name) - len(packing(name))]


def _is_twin(name: str, beside: Sequence[str]) -> bool:
    """Tell whether a compressed file is a copy of a plain file beside it; a gzip file never counts as a copy."""
    return packing(name) not in ("", ".gz") and plain_name(name) in beside


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        found, loose, archives = [], [], []
        for folder, inside, names in os.walk(path):
            inside[:] = [name for name in inside if not name.startswith((".", "_"))]
            found += [Path(folder, name) for name in names if is_table(name) and not _is_twin(name, names)]
            loose += [Path(folder, name) for name in names if may_be_table(name) and not _is_twin(name, names)]
            archives += [Path(folder, name) for name in names if packing(name) == ".zip" and name[0] not in "._"]
        return sorted(found or loose or archives)  # beside tables an archive is something else
    if path.is_file():
        return [path]
    return sorted(Path(item) for item in glob.glob(pattern, recursive=True) if os.path.isfile(item))


def _what_is_there(pattern: str) -> str:
    folder = Path(pattern) if Path(pattern).is_dir() else Path(pattern).parent
    if glob.has_magic(str(folder)):
        return "nothing matches"
    if not folder.is_dir():
        return f"no folder {folder}"
    names = sorted(item.name for item in folder.iterdir())
    return (
        "an empty folder" if not names else "in that folder: " + ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    )


def content_digest(files: list[Path]) -> str:
    """Return the sha256 over names and contents of the files."""
    whole = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                whole.update(f"{file}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
        except OSError as error:
            raise unreadable(file, error.strerror or str(error)) from None
    return whole.hexdigest()


def sizes(files: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Return size and modification time of each file, to be compared after reading."""
    found = {}
    for file in files:
        try:
            facts = file.stat()
        except OSError as error:
            raise unreadable(file, error.strerror or str(error)) from None
        found[file] = (facts.st_size, facts.st_mtime_ns)
    return found


def refuse_changed(before: dict[Path, tuple[int, int]]) -> None:
    """Raise if files changed while they were read.

    Raises
    ------
    DataError
        Naming all of them.
    """
    changed = [file for file, facts in before.items() if not file.exists() or sizes([file])[file] != facts]
    if changed:
        raise DataError(
            "source files changed while they were read",
            where=", ".join(str(file) for file in changed[:3]),
            seen=f"{len(changed)} file(s) of another size or time of change, or gone",
            expected="the files as they were when they were found",
            cure="deliver files under another name and rename them when they are whole; then try again",
            faults=[file.name for file in changed],
        )


def unreadable(file: Path | str, seen: str) -> DataError:
    """Return the error for a file that is there but cannot be read."""
    return DataError(
        "a source file cannot be read",
        where=str(file),
        seen=seen,
        expected="a complete file of CSV, JSON lines or Parquet, packed as its name says",
        cure="deliver the file again, whole and readable, then clear the failed task",
    )
