"""Results and requests of old nights; what a kept night refers to stays, whichever night made it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pipelines.artifacts import night_slug
from pipelines.housekeeping.items import Item, folder_item, old_folders, older
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.ledger.versions import DELETED
from pipelines.settings import Settings


def runs_now(ledger: Ledger, model: str, since: datetime) -> bool:
    """Tell whether a night of the model is running, begun after a moment."""
    return any(row.state == "running" and row.started_at > since for row in ledger.nights(model))


def old_nights(
    settings: Settings, ledger: Ledger, model: str, spec: HousekeepingSpec, since: datetime
) -> Iterator[Item]:
    """Yield what old nights of a model left and no kept night refers to, unless it changed after ``since``."""
    kept = kept_nights(ledger, model, spec.nights)
    named = {row.ref["uri"] for night in kept for row in ledger.stages(model, night) if row.ref}
    why = f"of a night before the newest {spec.nights}, and not of a version that is live or served"
    where = f"nights/{model}"
    yield from old_folders(settings, "results", where, "*/*", since, lambda uri: "" if uri in named else why)
    slugs = {night_slug(night) for night in kept}
    for path in older((settings.calls / model).glob("*"), since):
        if path.name not in slugs:
            yield folder_item(settings, "calls", path, why)


def kept_nights(ledger: Ledger, model: str, count: int) -> set[str]:
    """Return the newest nights of a model, and those of its live and served versions."""
    served = {row.version for row in ledger.serving(model) if row.desired == "serve"} | {ledger.route(model)}
    newest = [row.night for row in ledger.nights(model) if row.state != DELETED][-count:]
    return {*newest, *(row.night for row in ledger.versions(model) if row.version in served)}
