"""`aimass check`: the DAG file is sound, follows the template, and a small night runs through."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pipelines.cli.night import find_dag, run_locally
from pipelines.cli.shell import note
from pipelines.ledger import Ledger
from pipelines.settings import Settings, load

DRY_RUN = {
    "sample__fraction": 0.01,
    "tune__trials": 1,
    "tune__families": ["lightgbm"],
    "deploy__stop_before": True,
}


def check_model(settings: Settings, name: str, dags: Path | None = None) -> Iterator[str]:
    """Check a model without touching its ledger, storage or service; give one line per finding.

    The dry run goes through every stage up to `register` on 1 % of the unsealed rows, in a home of its own that is
    removed afterwards.

    Raises
    ------
    SpecError, DataError
        What the engineer must correct.
    """
    from pipelines.cli.init import template_drift

    path = find_dag(settings, name, dags)
    drift = template_drift(path)
    yield f"template: {'as written by aimass init' if not drift else f'{len(drift)} lines differ from aimass init'}"
    yield from (f"  {line}" for line in drift)
    private = Path(tempfile.mkdtemp(prefix="aimass-check-"))
    try:
        home = private / "home"
        trial = load(home=home, dags_folder=path.parent).ensure()
        if settings.feed.is_dir():
            trial.feed.rmdir()
            trial.feed.symlink_to(settings.feed)
        night = run_locally(trial, path, datetime.now(UTC), DRY_RUN, note)
        ledger = Ledger.open(trial)
        rows = {row.stage: row.rows for row in ledger.stages(name, night)}
        yield "spec: sound"
        yield f"dry run: every stage up to register, {rows.get('features')} training rows of {rows.get('ingest')}"
        ledger.close()
    finally:
        shutil.rmtree(private, ignore_errors=True)
