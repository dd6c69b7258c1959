"""Reads the day of a source's files from their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from pipelines.ingestion.spec import Files

_DATES = (
    (r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])", "%Y-%m-%d"),
    (r"(?<![0-9])[0-9]{4}_[0-9]{2}_[0-9]{2}(?![0-9])", "%Y_%m_%d"),
    (r"(?<![0-9])[0-9]{4}\.[0-9]{2}\.[0-9]{2}(?![0-9])", "%Y.%m.%d"),
    (r"(?<![0-9])[0-9]{8}(?![0-9])", "%Y%m%d"),
)
"""Patterns of dates in file names, and the strptime directives that read them."""


def file_day(file: Path, pattern: str) -> datetime | None:
    """Return the day (midnight UTC) that a file's name, or the end of its path, holds; None if it holds none.

    The pattern has as many path components as are compared; a component ``*`` is any name.

    >>> file_day(Path("/data/day=2026-01-02/part-7.csv"), "day=%Y-%m-%d/*")
    datetime.datetime(2026, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)
    """
    wanted = pattern.split("/")
    given = file.parts[-len(wanted) :]
    pairs = [(name, part) for name, part in zip(given, wanted, strict=False) if part != "*"]
    try:
        found = datetime.strptime("/".join(name for name, _ in pairs), "/".join(part for _, part in pairs))  # noqa: DTZ007 # set below
    except ValueError:
        return None
    return found.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)


def date_pattern(files: Sequence[Path]) -> str | None:
    """Return the `file_date` that reads a date from every file's name, or its folder's and its name; None if none does.

    >>> date_pattern([Path("/feed/loans-2026-01-02.csv"), Path("/feed/loans-2026-01-03.csv")])
    'loans-%Y-%m-%d.csv'
    """
    for depth in (1, 2) if len(files) > 1 else ():
        names = ["/".join(file.parts[-depth:]) for file in files]
        for written, directives in _DATES:
            found = re.search(written, names[0])
            if found is None:
                continue
            pattern = names[0][: found.start()].replace("%", "%%") + directives
            pattern += names[0][found.end() :].replace("%", "%%")
            if depth > 1 and found.end() <= names[0].index("/"):
                tail = {name.split("/")[-1] for name in names}
                pattern = pattern if len(tail) == 1 else pattern.split("/")[0] + "/*"
            if all(file_day(file, pattern) for file in files):
                return pattern
    return None


def known_since(files: Sequence[Path], spec: Files, zone: str = "UTC") -> dict[Path, datetime] | None:
    """Return the moment from which each dated file is known: when its day is over there; None without dates."""
    if spec.file_date is None:
        return None
    days = {file: file_day(file, spec.file_date) for file in files}
    return {file: midnight(day + timedelta(days=1), zone) for file, day in days.items() if day is not None}


def midnight(day: datetime, zone: str) -> datetime:
    """Return the moment at which a day begins in a zone."""
    return day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=ZoneInfo(zone)).astimezone(UTC)
