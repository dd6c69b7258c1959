"""The cleaned tables that a suite is learned from: those of the model's last finished nights, each verified."""

from __future__ import annotations

from pathlib import Path

from pipelines import storage
from pipelines.artifacts import Ref
from pipelines.errors import DataError
from pipelines.ledger import Ledger
from pipelines.settings import Settings

NIGHTS = 7
"""Number of nights used by default: a week, because weekdays differ."""


def cleaned_nights(
    settings: Settings, ledger: Ledger, model: str, nights: int = NIGHTS
) -> tuple[list[Path], list[str]]:
    """Return the folders ``cleaned/`` of the last successful nights, oldest first, and what was skipped and why.

    A night whose table equals that of another is looked at once; one whose files are gone (housekeeping) or damaged is
    passed over.
    """
    folders: list[Path] = []
    passed: list[str] = []
    seen: set[str] = set()
    for night in sorted(ledger.nights(model), key=lambda row: row.as_of, reverse=True):
        if len(folders) == nights:
            break
        if night.state != "success":
            continue
        row = next((row for row in ledger.stages(model, night.night) if row.stage == "clean" and row.ref), None)
        if row is None:
            continue
        ref = Ref.model_validate(row.ref)
        if ref.digest in seen:
            continue
        seen.add(ref.digest)
        folder = storage.local_path(settings, ref.uri)
        try:
            if storage.open_folder(settings, ref.uri)[1]["digest"] != ref.digest:
                raise DataError("its digest is not the one that was recorded")
        except DataError as error:
            passed.append(f"{night.as_of:%Y-%m-%d}: {error.what if folder.exists() else 'removed since'}")
            continue
        folders.append(folder / "cleaned")
    return folders[::-1], passed
