"""A full disk is one clear error, whichever library meets it first and however that words it."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import AimassError, DiskFullError

CODES = (errno.ENOSPC, errno.EDQUOT)
WORDS = re.compile(
    r"no space left on device|disk quota exceeded"  # the system, repeated by pyarrow, LightGBM, PostgreSQL and Ray
    r"|database or disk is full"  # SQLite
    r"|max_temp_directory_size"  # DuckDB, which takes what is free as its limit
    r"|OutOfDiskError",  # Ray
    re.IGNORECASE,
)
UNSURE = re.compile(r"disk I/O error|unable to open database file", re.IGNORECASE)
"""What SQLite says of a full disk, and of other things."""
SCARCE = 1_000_000
"""Bytes: below them a failure without a clear reason is that of a full disk."""
DEEP = 20
"""Most errors that are looked at behind one another."""


def is_scarce(*places: Path) -> bool:
    """Tell whether a file system has as good as nothing left."""
    return any(shutil.disk_usage(place).free < SCARCE for place in map(_existing, places))


def is_disk_full(error: BaseException, *places: Path) -> bool:
    """Tell whether an error is that of a full disk, or has come of one.

    Parameters
    ----------
    places
        What was written to: with nothing left there a vague error is clear.
    """
    seen: BaseException | None = error
    for _ in range(DEEP):
        if seen is None:
            return False
        if isinstance(seen, DiskFullError) or (isinstance(seen, OSError) and seen.errno in CODES):
            return True
        if not isinstance(seen, AimassError):  # ours quote cells
            text = str(seen)
            if WORDS.search(text) or (UNSURE.search(text) and is_scarce(*places)):
                return True
        seen = seen.__cause__ or seen.__context__
    return False


def disk_full(where: Path, error: BaseException | None = None, *, staged: bool = False) -> DiskFullError:
    """Return the error of a full disk.

    Parameters
    ----------
    where
        What was written to; of it and the folder of temporary files the fuller one is named.
    error
        What met the full disk.
    staged
        ``where`` is a folder that was being filled: what is in it is the least that is needed.
    """
    named = getattr(error, "filename", None)
    places = [where, *([Path(named)] if isinstance(named, str) else []), Path(tempfile.gettempdir())]
    place = min(map(_existing, places), key=lambda path: shutil.disk_usage(path).free)
    usage = shutil.disk_usage(place)
    expected = "room for what is written there"
    if staged and where.is_dir():
        written = sum(path.stat().st_size for path in where.rglob("*") if path.is_file())
        expected = f"more than {written / 1e6:.1f} MB, which had been written when it was full"
    return DiskFullError(
        "disk full",
        where=str(place),
        seen=f"{usage.free / 1e6:.1f} MB free of {usage.total / 1e6:.0f} MB",
        expected=expected,
        cure="free space on that file system and run the night again; what was live stays live",
    )


@contextmanager
def disk_errors(where: Path, *, staged: bool = False) -> Iterator[None]:
    """Turn what a full disk causes into its one error; see :func:`disk_full`."""
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if not is_disk_full(error, where):
            raise
        raise disk_full(where, error, staged=staged) from None


def _existing(path: Path) -> Path:
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))
