"""The operation ``restore_drill``: proves that the newest backup can be restored."""

from __future__ import annotations

import logging

from pipelines.artifacts import Outcome
from pipelines.drill.drill import drill, is_unused
from pipelines.drill.spec import DrillSpec
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def run(spec: DrillSpec, *, settings: Settings) -> Outcome:
    """Restore the newest backup to a scratch folder and prove it there; a new installation has none to prove yet."""
    if is_unused(settings):
        return Outcome(stats={"skipped": "nothing was ever live and there is no backup: there is nothing to prove yet"})
    report = drill(settings, spec)
    log.info(report.model_dump_json())
    return Outcome(stats=report.model_dump(mode="json"))
