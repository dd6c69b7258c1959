"""The operation ``housekeeping``: removes what is old."""

from __future__ import annotations

import logging

from pipelines.artifacts import Outcome
from pipelines.housekeeping.retention import tidy
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def run(spec: HousekeepingSpec, *, settings: Settings) -> Outcome:
    """Remove what is old."""
    report = tidy(settings, spec)
    log.info(report.model_dump_json())
    return Outcome(stats=report.model_dump(mode="json"))
