"""One increment of a source's history: the facts on the rows that one night read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.errors import DataError
from pipelines.storage import MANIFEST


@dataclass(frozen=True)
class Increment:
    """Rows that one night read, and their facts."""

    folder: Path
    name: str
    """Name of the file, relative to the source's root; empty for a read of a database."""
    sha256: str
    """Digest of the file's bytes; for a database, of the rows."""
    bytes: int
    known_at: datetime
    read_by: datetime
    """``as_of`` of the night that read it."""
    rows: int
    watermark: Any = None
    """Database: the largest value of the growing column."""
    whole: bool = False
    """Database: the whole table, which replaces all that was read before."""
    dated: bool = False
    reading: str = ""
    root: str = ""
    """Folder that the name was relative to when the file was read (`home:…` below the home); empty: not recorded."""

    @property
    def table(self) -> Path:
        """Folder of Parquet with the rows, columns as read."""
        return self.folder / "rows"


def read_increment(folder: Path) -> Increment:
    """Read the facts of a published increment.

    Raises
    ------
    DataError
        If its manifest is damaged.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        facts = manifest["facts"]
        file: dict[str, Any] = facts["files"][0] if facts["files"] else {"name": "", "bytes": 0}
        return Increment(
            folder=folder,
            name=file["name"],
            sha256=facts["sha256"],
            bytes=file["bytes"],
            known_at=datetime.fromisoformat(facts["known_at"]),
            read_by=datetime.fromisoformat(facts["read_by"]),
            rows=manifest["rows"],
            watermark=_untagged(facts["watermark"]),
            whole=facts["whole"],
            dated=facts["dated"],
            reading=facts["reading"],
            root=facts.get("root", ""),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "an increment of a source's history is damaged",
            where=str(folder),
            seen=f"{type(error).__name__}: {error}",
            expected="the manifest written when it was read",
            cure="restore this folder from a backup",
        ) from None


def newest(known: Sequence[Increment], reading: str) -> list[Increment]:
    """Return the newest version of each file, and the reads of a database since the last full one, in order.

    Parameters
    ----------
    known
        All versions, in the order in which they became known.
    reading
        Of a version that was read twice, the one read so; else the last.
    """
    last: dict[str, Increment] = {}
    for item in known:
        other = last.get(item.name)
        again = other is not None and other.sha256 == item.sha256
        if item.name and not (other is not None and again and other.reading == reading):
            last[item.name] = item
    start = max((index for index, item in enumerate(known) if item.whole), default=0)
    return [item for index, item in enumerate(known) if (last[item.name] is item if item.name else index >= start)]


_MARKS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "Decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
}


def tagged(mark: Any) -> list[str] | None:
    """Return a watermark as JSON that keeps its type."""
    if mark is None:
        return None
    kind = type(mark).__name__
    if kind not in _MARKS:
        raise DataError(
            "the column that grows is of a kind that cannot be remembered",
            where="since",
            seen=kind,
            expected=", ".join(_MARKS),
            cure="name a column of numbers, moments or text as 'since', or leave it out",
        )
    return [kind, mark.isoformat() if isinstance(mark, date) else str(mark)]


def _untagged(mark: list[str] | None) -> Any:
    return None if mark is None else _MARKS[mark[0]](mark[1])
