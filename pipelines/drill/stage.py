"""The operation ``restore_drill``: proves that the newest backup can be restored."""

from __future__ import annotations

import logging

from pipelines.artifacts import Outcome
from pipelines.drill.drill import drill, needs_no_backup
from pipelines.drill.spec import DrillSpec
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def run(spec: DrillSpec, *, settings: Settings) -> Outcome:
    """Restore the newest backup to a scratch folder and prove it there; a new installation has none to prove yet."""
    if needs_no_backup(settings, spec):
        log.info(
            told := f"there is no backup yet, and nothing was live for {spec.max_age_hours:g} hours: nothing to prove"
        )
        return Outcome(stats={"notices": [told]})
    report = drill(settings, spec)
    log.info(report.model_dump_json())
    return Outcome(stats=report.model_dump(mode="json"))
