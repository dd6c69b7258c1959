"""Which files a night reads."""

from __future__ import annotations

import glob
import hashlib
import os
from datetime import datetime
from pathlib import Path

from pipelines.errors import DataError, SpecError
from pipelines.ingestion.spec import Files
from pipelines.settings import Settings

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".parquet")


def find_files(spec: Files, as_of: datetime, settings: Settings) -> list[Path]:
    """Give the files known at ``as_of``, by name.

    With ``file_date``, a file of day D is complete when D is over: only files dated before the date of ``as_of`` count.

    Raises
    ------
    SpecError
        If the address is of a kind that cannot be read.
    DataError
        If nothing matches, a matching name does not hold a date, or no file is old enough.
    """
    pattern = locate(spec.path, settings)
    files = _expand(pattern)
    if not files:
        raise DataError(
            "no source file",
            where=pattern,
            seen=_what_is_there(pattern),
            expected="at least one CSV or Parquet file",
            cure="correct 'path' in Files, or wait for the file",
        )
    if spec.file_date is None:
        return files
    dated: list[Path] = []
    faults: list[str] = []
    for file in files:
        try:
            day = datetime.strptime(file.name, spec.file_date).date()  # noqa: DTZ007 # only the date is used
        except ValueError:
            faults.append(file.name)
            continue
        if day < as_of.date():
            dated.append(file)
    if faults:
        raise DataError(
            "source files without a date in their name",
            where=pattern,
            seen=f"{len(faults)} of {len(files)} files",
            expected=f"names like {spec.file_date}",
            cure="narrow 'path' or correct 'file_date' in Files",
            faults=faults,
        )
    if not dated:
        raise DataError(
            "no source file is dated before the night",
            where=pattern,
            seen=f"{len(files)} file(s), {files[0].name} … {files[-1].name}",
            expected=f"a file dated before {as_of.date()}",
            cure="run the night at a later date",
        )
    return dated


def locate(source: str, settings: Settings) -> str:
    """Give the absolute pattern of a source: ``home:`` is below the home, other relative ones beside the DAG folder."""
    if source.startswith("home:"):
        return str(settings.home / source.removeprefix("home:").lstrip("/"))
    if "://" in source:
        raise SpecError(
            "a source of this kind cannot be read",
            where=source,
            seen=source.split("://")[0] + "://",
            expected="a path or glob on this machine's file system",
            cure="copy or mount the files, and name their path in Files.path",
        )
    return os.path.abspath(os.path.join(settings.dags.parent, os.path.expanduser(source)))


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        return sorted(item for item in path.iterdir() if item.is_file() and item.name.lower().endswith(TABLES))
    if path.is_file():
        return [path]
    return sorted(Path(item) for item in glob.glob(pattern, recursive=True) if os.path.isfile(item))


def _what_is_there(pattern: str) -> str:
    folder = Path(glob.escape(pattern) if not glob.has_magic(pattern) else pattern).parent
    if glob.has_magic(str(folder)):
        return "nothing matches"
    if not folder.is_dir():
        return f"no folder {folder}"
    names = sorted(item.name for item in folder.iterdir())
    return (
        "an empty folder" if not names else "in that folder: " + ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    )


def content_digest(files: list[Path]) -> str:
    """Give one sha256 over names and contents of the files."""
    whole = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                whole.update(f"{file}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
        except OSError as error:
            raise unreadable(file, error.strerror or str(error)) from None
    return whole.hexdigest()


def unreadable(file: Path | str, seen: str) -> DataError:
    """Give the error for a file that is there but cannot be read."""
    return DataError(
        "a source file cannot be read",
        where=str(file),
        seen=seen,
        expected="a complete CSV, gzip or Parquet file",
        cure="deliver the file again, whole and readable, then clear the failed task",
    )
