"""What `aimass backups` shows of each backup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipelines.backup import manifest
from pipelines.backup.shelf import begun, blobs_of, list_backups, stamped
from pipelines.secret_files import public_key
from pipelines.settings import Settings


class BackupRow(BaseModel):
    """One backup."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: Path
    age: str
    files: int
    bytes: int
    """Of all files, as a restore writes them."""
    new_bytes: int
    """That it added to what the backups before held."""
    verified: str
    """When it was read back, and what of it; or what is wrong."""


def describe_backups(settings: Settings, now: datetime | None = None) -> list[BackupRow]:
    """Return one row for each backup, oldest first. Manifests are read, content is not."""
    now = now or datetime.now(UTC)
    return [_row(settings, folder, now) for folder in list_backups(settings)]


def _row(settings: Settings, folder: Path, now: datetime) -> BackupRow:
    facts, faults = manifest.read(folder, public_key(settings), blobs_of(settings))
    files = facts.get("files", {})
    size = sum(entry["bytes"] for entry in files.values())
    return BackupRow(
        name=folder.name,
        path=folder,
        age=span(now - begun(folder.name)),
        files=len(files),
        bytes=size,
        new_bytes=facts["new_bytes"] + (folder / manifest.MANIFEST).stat().st_size if "new_bytes" in facts else size,
        verified=faults[0] if faults else _verified(folder),
    )


def _verified(folder: Path) -> str:
    note = stamped(folder)
    if not note:
        return "-"
    if note["faults"]:
        return f"{note['faults']} fault(s) on {str(note['at'])[:10]}"
    return f"{str(note['at'])[:10]}{'' if note['whole'] else ', what it added'}"


def span(age: timedelta) -> str:
    """Return an age in the largest unit of which there are at least two."""
    seconds = max(0.0, age.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
