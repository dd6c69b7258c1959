"""The stage ``validate``: cleaned → report; hard rules stop the night, soft ones warn."""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.errors import DataError, SpecError
from pipelines.html_pages import show_docs
from pipelines.settings import Settings
from pipelines.validation.later import put_off
from pipelines.validation.reading import read_suite
from pipelines.validation.spec import ValidateSpec

log = logging.getLogger(__name__)


def fingerprint(spec: ValidateSpec, night: Night, settings: Settings) -> str:
    """Return the digest of the suite: an edited rule is judged anew."""
    return hashlib.sha256(suite_path(spec, night.model.name, settings).read_bytes()).hexdigest()


def run(spec: ValidateSpec, *, night: Night, settings: Settings, out: Path, cleaned: Artifact) -> Outcome:
    """Judge ``cleaned/`` by the model's suite.

    Leaves ``report.json`` {success, hard_failed, soft_failed, rules, rows, partitions, whole} and ``docs/`` with the
    Data Docs; the latest docs of the model are shown under ``settings.docs/<model>``, of a night that is stopped here
    too.

    Raises
    ------
    SpecError
        If the suite is missing or unreadable.
    DataError
        If a hard rule is broken; lists every one with what was seen.
    """
    put_off()
    from pipelines.validation.validate import judge  # seconds of imports, which a re-used result does without

    name = night.model.name
    suite = read_suite(suite_path(spec, name, settings))
    with storage.scratch(out) as work:
        verdict = judge(
            cleaned.path / "cleaned", suite, work, name, spec.docs, as_of=night.as_of, threads=settings.cores
        )
        if spec.docs:
            shutil.move(work / "docs", out / "docs")
            show_docs(out / "docs", settings.docs, name)
    for rule in verdict.whole:
        log.info(f"read as a whole, for its partitions cannot tell: {rule}")
    for line in verdict.soft_failed:
        log.warning(line)
    if verdict.hard_failed:
        raise DataError(
            f"the data break {len(verdict.hard_failed)} hard rule{'s' if len(verdict.hard_failed) > 1 else ''}",
            where=f"suite {suite_path(spec, name, settings)}",
            seen=f"{verdict.rows} rows; Data Docs in {settings.docs / name}" if spec.docs else f"{verdict.rows} rows",
            expected="every rule of severity critical kept",
            cure="correct the data at the source, or the rule if the world has changed",
            faults=verdict.hard_failed,
        )
    report: dict[str, Any] = {
        "success": not verdict.soft_failed,
        "hard_failed": verdict.hard_failed,
        "soft_failed": verdict.soft_failed,
        "rules": verdict.rules,
        "rows": verdict.rows,
        "partitions": verdict.partitions,
        "whole": verdict.whole,
    }
    write_json(out / "report.json", report)
    told = f"{verdict.rules} rules, {len(verdict.soft_failed)} soft ones broken, {verdict.partitions} partitions"
    log.info(told)
    facts = {"rules": verdict.rules, "soft_failed": len(verdict.soft_failed)}
    return Outcome(rows=verdict.rows, meta=facts, stats=facts)


def suite_path(spec: ValidateSpec, model: str, settings: Settings) -> Path:
    """Return the suite's file; relative ones lie beside the DAG folder."""
    path = settings.dags.parent / (spec.suite or f"expectations/{model}")
    if path.is_dir() or not path.suffix:
        path /= "suite.json"
    if not path.is_file():
        raise SpecError(
            "the model has no suite",
            where=str(path),
            seen="no such file",
            expected="a Great Expectations suite in JSON",
            cure=f"write one with aimass init {model} …, or name it in ValidateSpec.suite",
        )
    return path
