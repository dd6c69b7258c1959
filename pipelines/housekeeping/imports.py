"""Imports that were killed: nobody resumes one, so what it left is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from pipelines.artifacts import night_slug
from pipelines.errors import SpecError
from pipelines.housekeeping.items import Item, size_of
from pipelines.housekeeping.versions import delete_version, files_of
from pipelines.ledger import Ledger
from pipelines.ledger.nights import IMPORTED
from pipelines.ledger.rows import NightRow
from pipelines.locks import try_lock
from pipelines.settings import Settings, make_private

ACTOR = "housekeeping"
WHY = "its import was killed"
AN_IMPORT_AT_MOST = timedelta(days=1)
"""After that one without a lock is over, too: it ran on another host, or before a restore."""


def import_lock(settings: Settings, night: str) -> Path:
    """Return the file that an import holds locked for as long as it runs."""
    return make_private(settings.run_dir) / f"import-{night_slug(night)}.lock"


def killed_imports(settings: Settings, ledger: Ledger, model: str) -> Iterator[Item]:
    """Yield the imports of a model that were begun, never ended, and whose process is gone."""
    for row in ledger.nights(model):
        if row.source != IMPORTED or row.state != "running" or not is_over(settings, row):
            continue
        publication = ledger.publication(model, row.night)
        version = publication.version if publication else None
        known = None if version is None else ledger.version(model, version)
        size = sum(map(size_of, files_of(settings, ledger, known))) if known else 0
        what = f"{model} {row.night}" if version is None else f"{model} version {version}"
        yield Item("versions", what, size, WHY, partial(end_import, settings, ledger, row, ACTOR, WHY))


def end_import(settings: Settings, ledger: Ledger, row: NightRow, actor: str, why: str) -> bool:
    """Record that an import failed, and delete its version, unless somebody made that live meanwhile.

    Returns
    -------
    bool
        Always true.
    """
    try:
        publication = ledger.publication(row.model, row.night)
        if publication is not None and publication.version is None:  # its model directory is an orphan from then on
            ledger.advance(row.model, row.night, publication.fence, model_uri=None)
        elif publication is not None and (known := ledger.version(row.model, int(publication.version or 0))):
            delete_version(settings, ledger, known, actor, why)
    except SpecError as error:
        why = f"{why}; {error.what}: {error.seen}"
    finally:
        ledger.close_night(row.model, row.night, "failed", {"sentence": why[:500]})
    import_lock(settings, row.night).unlink(missing_ok=True)
    return True


def is_over(settings: Settings, row: NightRow) -> bool:
    """Tell whether the process of an import is gone; one on another host is given a day."""
    path = import_lock(settings, row.night)
    if not path.exists():
        return datetime.now(UTC) - row.started_at > AN_IMPORT_AT_MOST
    held = try_lock(path)
    if held is not None:
        held.lock.release()
    return held is not None
