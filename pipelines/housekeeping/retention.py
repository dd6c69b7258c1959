"""Decides what goes: by the policy first, then by stricter ones while the home is larger than it may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from pipelines.housekeeping import airflow_rows, ledger_rows, leftovers, mlflow_objects
from pipelines.housekeeping.imports import killed_imports
from pipelines.housekeeping.items import Item, Kind, size_of
from pipelines.housekeeping.mart_tables import old_tables
from pipelines.housekeeping.nights import old_nights, runs_now
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.housekeeping.versions import old_versions
from pipelines.ledger import Ledger
from pipelines.settings import Settings

GB = 1e9
PARTS = {
    "storage/models": "model directories of versions",
    "storage/history": "what was read of growing sources",
    "storage/nights": "results of the newest nights",
    "storage/mart": "published tables",
    "storage/predictions": "the prediction log",
    "bentoml": "bentos of versions",
    "mlflow": "runs and models in MLflow",
    "backups": "backups",
    "airflow": "Airflow's database and logs",
    "feed": "the demo feed",
    "cache": "copies of what is in an object store",
    "docs": "Data Docs and pages",
    "ledger.db": "the ledger",
}
"""What may hold the space that no policy frees."""


class Removed(BaseModel):
    """One thing that went, or would go."""

    model_config = ConfigDict(frozen=True)

    kind: str
    what: str
    bytes: int
    why: str


class TidyReport(BaseModel):
    """What was removed: how many of each kind, and each by name. On a dry run, what would be."""

    model_config = ConfigDict(frozen=True)

    dry_run: bool
    results: int
    """Published results of stages."""
    calls: int
    """Requests of old nights."""
    staging: int
    """Unpublished work that a killed stage left."""
    temporary: int
    """Folders in the system's temporary folder that a killed process of ours left."""
    logs: int
    """Days of the prediction log, runs in Airflow's task logs, and logs of services that are gone."""
    versions: int
    """Versions, each with its model directory, bento and run of MLflow."""
    orphans: int
    """Model directories and bentos that no version names."""
    mlflow: int
    """Runs, logged models and experiments that were deleted in MLflow before."""
    airflow: int
    """Whether rows of Airflow's database were."""
    usage: int
    """Whether the ledger's rows of what tasks took were."""
    tables: int
    """Versions of published tables that expired."""
    waiting: tuple[str, ...]
    """Models that were skipped because one of their nights is running."""
    items: tuple[Removed, ...]
    failed: tuple[str, ...]
    """What could not be removed, and why."""
    size: int
    """Bytes of the home afterwards."""
    limit: int
    """Bytes that it may have."""
    holding: dict[str, int]
    """Bytes by part of the home, the largest first, where it is larger than it may be."""


def tidy(settings: Settings, spec: HousekeepingSpec | None = None, *, now: datetime | None = None) -> TidyReport:
    """Remove what is old by the policy; list it alone on a dry run.

    A result that a kept night refers to is kept, whichever night made it. A removed result is not missed: a later
    night that would have re-used it makes it again. While the home is larger than it may be, half as many nights,
    versions and days are kept, and so on down to a few.
    """
    spec = spec or HousekeepingSpec()
    now = (now or datetime.now(UTC)).astimezone(UTC)
    limit = int(spec.max_gb * GB)
    before = size_of(settings.home)
    with Ledger.open(settings) as ledger:
        since = now - timedelta(hours=spec.spare_hours)
        waiting = tuple(row.name for row in ledger.models() if runs_now(ledger, row.name, since))
        for policy in spec.stricter():
            items = list(_old(settings, ledger, policy, now, waiting))
            if before - _freed(items) <= limit:
                break
        failed = {} if spec.dry_run else {item: fault for item in items if (fault := _removed(settings, item))}
    items = [item for item in items if item not in failed]
    size = before - _freed(items) if spec.dry_run else size_of(settings.home)
    counts = Counter(item.kind for item in items)
    return TidyReport(
        dry_run=spec.dry_run,
        results=counts["results"],
        calls=counts["calls"],
        staging=counts["staging"],
        temporary=counts["temporary"],
        logs=counts["predictions"] + counts["task logs"] + counts["logs"],
        versions=counts["versions"],
        orphans=counts["orphans"],
        mlflow=counts["mlflow"],
        airflow=counts["airflow"],
        usage=counts["usage"],
        tables=counts["tables"],
        waiting=waiting,
        items=tuple(Removed(kind=each.kind, what=each.what, bytes=each.bytes, why=each.why) for each in items),
        failed=tuple(failed.values()),
        size=size,
        limit=limit,
        holding=holding(settings) if size > limit else {},
    )


def _old(
    settings: Settings, ledger: Ledger, spec: HousekeepingSpec, now: datetime, waiting: tuple[str, ...]
) -> Iterator[Item]:
    since = now - timedelta(hours=spec.spare_hours)
    yield from leftovers.unpublished(settings, since)
    for model in (row.name for row in ledger.models()):
        yield from killed_imports(settings, ledger, model)
        if model not in waiting:
            yield from old_nights(settings, ledger, model, spec, since)
            yield from old_versions(settings, ledger, model, spec)
    if not waiting:  # a night that runs may be reading one
        yield from old_tables(settings, ledger, spec, since)
    yield from leftovers.orphans(settings, ledger, since, frozenset(waiting))
    yield from _listed("mlflow", mlflow_objects.old_objects(settings, ledger, spec, now))
    yield from leftovers.temporary(since)
    yield from leftovers.old_copies(settings, since)
    yield from leftovers.old_predictions(settings, spec, now)
    yield from leftovers.old_logs(settings, spec, now, ledger)
    yield from _listed("airflow", airflow_rows.old_rows(settings, spec, now))
    yield from ledger_rows.old_rows(settings, spec, now)


def _listed(kind: Kind, items: Iterator[Item]) -> Iterator[Item]:
    """Yield items of a database that is not ours; where it cannot be read, one that says so and keeps no others."""
    try:
        yield from items
    except Exception as error:  # noqa: BLE001 - empty, of another release, or damaged: all else is tidied
        raised = error

        def remove() -> bool:
            raise raised

        yield Item(kind, f"the database of {kind}", 0, "it cannot be read", remove)


def _freed(items: list[Item]) -> int:
    return sum(item.bytes for item in items if item.kind != "temporary" and not item.elsewhere)


def _removed(settings: Settings, item: Item) -> str:
    """Remove an item; return why that failed, or nothing. One failure does not keep the others."""
    try:
        item.remove_from(settings)
    except Exception as error:  # noqa: BLE001 - whatever MLflow, Airflow or the disk raises, the others go on
        return f"{item.kind} {item.what}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""


def holding(settings: Settings) -> dict[str, int]:
    """Return the bytes of each part of the home, the largest first."""
    sizes = {name: size_of(settings.home / name) for name in PARTS}
    sizes["others"] = size_of(settings.home) - sum(sizes.values())
    return {name: size for name, size in sorted(sizes.items(), key=lambda pair: -pair[1]) if size > 0}
