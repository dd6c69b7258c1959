"""Old rows of the ledger: what tasks took of the machine, which nobody's cost depends on any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pipelines.housekeeping.items import Item
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings


def old_rows(settings: Settings, spec: HousekeepingSpec, now: datetime) -> Iterator[Item]:
    """Yield the rows of ``task_usage`` that are too old; those of nights with a version stay: it has a cost."""
    before = now - timedelta(days=spec.usage_days)

    def forget() -> bool:
        with Ledger.open(settings) as ledger:
            return ledger.old_task_usage(before, forget=True) > 0

    with Ledger.open(settings) as ledger:
        rows = ledger.old_task_usage(before)
    if rows:
        yield Item("usage", f"ledger: what {rows} tasks took", 0, f"older than {spec.usage_days} days", forget)
