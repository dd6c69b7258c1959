"""The operation ``backup``: takes one verified backup."""

from __future__ import annotations

import logging

from pipelines.artifacts import Outcome
from pipelines.backup.backup import backup
from pipelines.backup.spec import BackupSpec
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def run(spec: BackupSpec, *, settings: Settings) -> Outcome:
    """Take one verified backup."""
    report = backup(settings, spec)
    log.info(report.model_dump_json())
    return Outcome(stats=report.model_dump(mode="json"))
