"""The operation ``batch``: predicts a file, folder or glob of rows into one file."""

from __future__ import annotations

import logging
from pathlib import Path

from pipelines.artifacts import Outcome
from pipelines.batch.predict import predict_file
from pipelines.batch.spec import BatchSpec
from pipelines.inference.doubts import lines_of
from pipelines.ingestion.files.sources import locate
from pipelines.ledger import Ledger
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def run(spec: BatchSpec, *, settings: Settings) -> Outcome:
    """Predict all rows; what an earlier attempt has done is kept."""
    source, target = locate(spec.input, settings), Path(locate(spec.output, settings))
    with Ledger.open(settings) as ledger:
        facts = predict_file(settings, ledger, spec.model, source, target, spec.version)
    for notice in facts["notices"]:
        log.info(notice)
    for line in lines_of(facts["warnings"]):
        log.warning(line)
    log.info("%d rows predicted by %s version %d: %s", facts["rows"], spec.model, facts["version"], target)
    return Outcome(stats={**facts, "output": str(target)})
