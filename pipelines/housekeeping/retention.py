"""Decides what is old and removes it: first by one rename, then from the disk."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipelines.artifacts import night_slug
from pipelines.clusters import SHORT
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings


class TidyReport(BaseModel):
    """How many folders of each kind were removed."""

    model_config = ConfigDict(frozen=True)

    results: int
    """Published results of stages."""
    calls: int
    """Requests of old nights."""
    staging: int
    """Unpublished work that a killed stage left."""
    temporary: int
    """Folders in the system's temporary folder that a killed process of ours left."""
    logs: int
    """Days of the prediction log, and runs in Airflow's task logs."""
    waiting: tuple[str, ...]
    """Models that were skipped because one of their nights is running."""


def tidy(settings: Settings, spec: HousekeepingSpec | None = None, *, now: datetime | None = None) -> TidyReport:
    """Remove what is old by the policy.

    A result that a kept night refers to is kept, whichever night made it. A removed result is not missed: a later
    night that would have re-used it makes it again.
    """
    spec = spec or HousekeepingSpec()
    now = (now or datetime.now(UTC)).astimezone(UTC)
    since = now - timedelta(hours=spec.spare_hours)
    results: list[Path] = []
    calls: list[Path] = []
    waiting: list[str] = []
    with Ledger.open(settings) as ledger:
        for model in (row.name for row in ledger.models()):
            kept = _kept_nights(ledger, model, spec.nights)
            if any(row.state == "running" and row.started_at > since for row in ledger.nights(model)):
                waiting.append(model)
                continue
            named = {row.ref["uri"] for night in kept for row in ledger.stages(model, night) if row.ref}
            made = (settings.storage / "nights" / model).glob("*/*")
            results += [path for path in made if path.relative_to(settings.storage).as_posix() not in named]
            slugs = {night_slug(night) for night in kept}
            calls += [path for path in (settings.calls / model).glob("*") if path.name not in slugs]
    return TidyReport(
        staging=_remove(settings, _older(settings.staging.glob("*"), since)),
        results=_remove(settings, _older(results, since)),
        calls=_remove(settings, _older(calls, since)),
        temporary=_remove_temporary(since),
        logs=_remove(settings, _old_logs(settings, now, timedelta(days=spec.log_days))),
        waiting=tuple(waiting),
    )


def _kept_nights(ledger: Ledger, model: str, count: int) -> set[str]:
    served = {row.version for row in ledger.serving(model) if row.desired == "serve"} | {ledger.route(model)}
    newest = [row.night for row in ledger.nights(model)][-count:]
    return {*newest, *(row.night for row in ledger.versions(model) if row.version in served)}


def _remove_temporary(since: datetime) -> int:
    """Remove old temporary folders of our own that killed processes left."""
    folders = {Path(tempfile.gettempdir()), Path(SHORT)}
    count = 0
    for path in _older((path for folder in folders for path in folder.glob("aimass-*")), since):
        if path.lstat().st_uid == os.getuid() and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            count += 1
    return count


def _older(paths: Iterable[Path], moment: datetime) -> Iterator[Path]:
    for path in paths:
        try:
            if path.lstat().st_mtime < moment.timestamp():
                yield path
        except FileNotFoundError:
            continue


def _old_logs(settings: Settings, now: datetime, kept: timedelta) -> Iterator[Path]:
    for day in (settings.storage / "predictions").glob("*/*"):
        try:
            if date.fromisoformat(day.name) < (now - kept).date():
                yield day
        except ValueError:
            continue  # not a day of the log: not ours to judge
    yield from _older((settings.airflow_home / "logs").glob("dag_id=*/run_id=*"), now - kept)


def _remove(settings: Settings, paths: Iterable[Path]) -> int:
    """Remove folders, each in one step for its readers; ignore those that another process removes meanwhile."""
    count = 0
    for path in list(paths):
        doomed = settings.staging / f".removed-{secrets.token_hex(6)}"
        try:
            os.rename(path, doomed)
        except FileNotFoundError:
            continue
        if doomed.is_dir() and not doomed.is_symlink():
            shutil.rmtree(doomed, ignore_errors=True)  # what stays is found among the staging leftovers next time
        else:
            doomed.unlink()
        if path.parent != settings.staging:
            with suppress(OSError):  # others are in it
                path.parent.rmdir()
        count += 1
    return count
