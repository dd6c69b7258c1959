"""One drill: the newest backup, restored to a scratch folder and proved there."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.backup.finish import restored_name
from pipelines.backup.ledger_copy import DUMP, loaded
from pipelines.backup.restore import restore
from pipelines.backup.shelf import begun, list_backups
from pipelines.drill.proof import prove_version
from pipelines.drill.spec import DrillSpec
from pipelines.errors import BackupError
from pipelines.ledger import Ledger
from pipelines.ledger.rows import VersionRow
from pipelines.settings import Settings
from pipelines.storage import stage_folder

log = logging.getLogger(__name__)


class DrillReport(BaseModel):
    """What a drill found."""

    model_config = ConfigDict(frozen=True)

    backup: str
    recovery_point: datetime
    """What is restored is the state of this moment."""
    recovery_point_hours: float
    """Age of that state: what is newer would be lost."""
    recovery_seconds: float
    """From nothing to the last live version predicting: restore, check and start of services."""
    restore_seconds: float
    files: int
    bytes: int
    versions: int
    """In the restored ledger."""
    proved: tuple[dict[str, Any], ...]
    """One entry for each live version, see :func:`pipelines.drill.proof.prove_version`."""
    notices: tuple[str, ...]


def drill(settings: Settings, spec: DrillSpec | None = None, *, now: datetime | None = None) -> DrillReport:
    """Restore the newest backup beside the home, open its ledger and MLflow, and serve every live version from it.

    Raises
    ------
    BackupError
        There is no backup, or the newest is too old, damaged, lacks what was live, or predicts otherwise.
    DeployError
        A restored version cannot be opened or served.
    """
    spec, now = spec or DrillSpec(), now or datetime.now(UTC)
    newest = _newest(settings, spec, now)
    scratch = stage_folder(settings, "drill")
    started = time.monotonic()
    try:
        report = restore(settings, newest.name, scratch / "home")
        restored_at = time.monotonic()
        restored = settings.model_copy(update={"home": report.home, "storage_address": None, "ledger_url": None})
        with _opened(settings, restored) as ledger:
            _check_history(ledger, newest)
            live = champions(ledger)
            versions = sum(
                len(ledger.versions(name)) for name in {row.name for row in ledger.models()} | {*ledger.routes()}
            )
        check_live(settings, live, begun(newest.name))
        proved = tuple(prove_version(spec, settings, restored, row) for row in live)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not proved:
        log.warning("no version is live in the backup: nothing was served")
    return DrillReport(
        backup=newest.name,
        recovery_point=begun(newest.name),
        recovery_point_hours=round((now - begun(newest.name)).total_seconds() / 3600, 3),
        recovery_seconds=round(time.monotonic() - started, 3),
        restore_seconds=round(restored_at - started, 3),
        files=report.files,
        bytes=report.bytes,
        versions=versions,
        proved=proved,
        notices=report.notices,
    )


@contextmanager
def _opened(settings: Settings, restored: Settings) -> Iterator[Ledger]:
    """Open the ledger that was restored; a dump of PostgreSQL in a database of its own."""
    dump = restored.home / restored_name(DUMP)
    with ExitStack() as stack:
        if dump.is_file():
            address = stack.enter_context(loaded(settings.ledger_address, dump))
            restored = restored.model_copy(update={"ledger_url": address})
        yield stack.enter_context(Ledger.open(restored))


def is_unused(settings: Settings) -> bool:
    """Tell whether this is a new installation: nothing was ever live, and there is no backup."""
    if list_backups(settings):
        return False
    with Ledger.open(settings) as ledger:
        return not ledger.history()


def _newest(settings: Settings, spec: DrillSpec, now: datetime) -> Path:
    known = list_backups(settings)
    if not known:
        raise BackupError(
            "there is no backup to restore",
            where=settings.backups_bucket or str(settings.backups),
            seen="none",
            expected="at least one",
            cure="run the DAG backup, or aimass backup; then clear the drill",
        )
    hours = (now - begun(known[-1].name)).total_seconds() / 3600
    if hours > spec.max_age_hours:
        raise BackupError(
            "the newest backup is too old",
            where=str(known[-1]),
            seen=f"{hours:.1f} h",
            expected=f"at most {spec.max_age_hours:g} h",
            cure="see why the DAG backup did not run; then run it and clear the drill",
        )
    return known[-1]


def _check_history(ledger: Ledger, backup: Path) -> None:
    broken = ledger.broken_history()
    if broken is not None:
        raise BackupError(
            "the restored ledger's history of what was live does not hash to what it did",
            where=str(backup),
            seen=f"entry {broken.id}: {broken.model} to version {broken.to_version}",
            expected="an unbroken chain",
            cure="aimass ledger verify says whether the live one is sound; keep the backups before this one",
        )


def champions(ledger: Ledger) -> list[VersionRow]:
    """Return the live version of every model that has one."""
    return [row for model in sorted(ledger.routes()) if (row := ledger.champion(model)) is not None]


def check_live(settings: Settings, restored: list[VersionRow], since: datetime) -> None:
    """Refuse a backup without a version that was live before ``since``, when it was begun, and still is.

    Raises
    ------
    BackupError
        It lacks one.
    """
    held = {(row.model, row.version) for row in restored}
    with Ledger.open(settings) as ledger:
        last = {switch.model: switch.at for switch in ledger.history()}
        due = [row for row in champions(ledger) if last[row.model] < since]
    lost = [row for row in due if (row.model, row.version) not in held]
    if lost:
        raise BackupError(
            "the backup lacks versions that were live when it was begun",
            seen=", ".join(f"{model} version {version}" for model, version in sorted(held)) or "no live version",
            expected=", ".join(f"{row.model} version {row.version}" for row in lost),
            cure="run the DAG backup and clear the drill; keep the backups before this one",
        )
