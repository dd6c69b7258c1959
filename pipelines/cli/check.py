"""`aimass check`: the DAG file is valid, follows the template, and a small night succeeds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pipelines.cli.console import note
from pipelines.cli.night import find_dag, run_locally
from pipelines.errors import GateError
from pipelines.evaluation.gate.gate import NOT_BETTER
from pipelines.ledger import Ledger
from pipelines.mart.lend import lend, named_in
from pipelines.settings import Settings
from pipelines.trial_home import load_private

DRY_RUN = {"sample__fraction": 0.01, "sample__min_rows": 2_000, "tune__trials": 1, "deploy__stop_before": True}


def check_model(settings: Settings, name: str, dags: Path | None = None) -> Iterator[str]:
    """Check a model without touching its ledger, storage or service; yield one line per finding.

    The dry run goes through every stage up to `register` on 1 % of the unsealed rows, but on 2,000 where there are as
    many, with one trial of the first family, in a home of its own that is removed afterwards. That so small a model
    does not beat the baseline is told, and is no failure.

    Raises
    ------
    SpecError, DataError
        What the engineer must correct.
    """
    from pipelines.cli.init import template_drift

    path = find_dag(settings, name, dags)
    drift = template_drift(path)
    yield f"chain: {f'{len(drift)} lines differ from what aimass init writes' if drift else 'as aimass init writes it'}"
    yield from (f"  {line}" for line in drift)
    private = Path(tempfile.mkdtemp(prefix="aimass-check-"))
    try:
        home = private / "home"
        trial = load_private(home, path.parent).ensure()
        if settings.feed.is_dir():
            trial.feed.rmdir()
            trial.feed.symlink_to(settings.feed)
        lend(settings, trial, named_in(path.read_text()))
        reached = "every stage up to register"
        try:
            run_locally(trial, path, datetime.now(UTC), DRY_RUN, note)
        except GateError as error:
            if error.what != NOT_BETTER:
                raise
            reached = f"every stage up to evaluate, where {error.where} was {error.seen}, not {error.expected}"
        with Ledger.open(trial) as ledger:
            rows = {row.stage: row.rows for row in ledger.stages(name, ledger.nights(name)[-1].night)}
        yield "spec: sound"
        yield f"dry run: {reached}; {rows.get('features')} training rows of {rows.get('ingest')}"
    finally:
        shutil.rmtree(private, ignore_errors=True)
