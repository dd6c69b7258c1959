"""Export: a version as one signed archive that another installation can import."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.artifacts import write_json
from pipelines.errors import SpecError
from pipelines.exchange.archive import FACTS, FORMAT, MAX_GB, write_archive
from pipelines.exchange.trust import fingerprint
from pipelines.exchange.versions import wanted_version
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.ledger.rows import VersionRow
from pipelines.registry.upkeep import LATER
from pipelines.secret_files import public_key
from pipelines.settings import Settings

EVALUATION = ("card.html", "metrics.json", "verdict.json", "reference.json", "expected.json")
"""What goes along of what the stage evaluate left: the model card, scores, and what the monitor compares with."""
VERDICT = ("verdict", "sentence", "metric", "rows_trained", "trained_until")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    key
        Fingerprint of the key that it is signed with, which the importing side has to trust.
    example_rows
        Rows of data that the archive holds as golden predictions.
    """

    model: str
    version: int
    path: Path
    bytes: int
    key: str
    example_rows: int


def export_version(
    settings: Settings,
    ledger: Ledger,
    name: str,
    out: Path,
    *,
    version: int | None = None,
    licence: Path | None = None,
    max_gb: float = MAX_GB,
) -> Exported:
    """Write a version's model directory, card, scores, schema, lineage and licence as one signed archive.

    Raises
    ------
    SpecError
        There is no such version, or the file cannot be written.
    DeployError
        The stored model directory is not what was signed.
    """
    row = wanted_version(ledger, name, version)
    opened = ModelDirectory.open(storage.resolve(settings, row.model_uri), public_key(settings))
    if not out.parent.is_dir():
        raise SpecError("there is no such folder", where=str(out.parent), cure="make it, or name another with --out")
    work = storage.stage_folder(settings, f"{name}-export")
    try:
        shutil.copytree(opened.path, work / "model")
        stages = ledger.stages(name, row.night)
        _copy_evaluation(settings, stages, work / "evaluation")
        lineage = {
            each.stage: {fact: each.ref.get(fact) for fact in ("digest", "rows")}
            for each in stages
            if each.ref and each.stage not in LATER
        }
        write_json(work / "lineage.json", {"night": row.night, "as_of": row.as_of and row.as_of.isoformat(),
                                           "stages": lineage})  # fmt: skip
        if licence is not None:
            shutil.copyfile(licence, work / "LICENSE")
        write_json(work / FACTS, _facts(ledger, row))
        write_archive(work, out, settings, max_gb)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    rows = len(opened.golden["rows"])
    return Exported(name, row.version, out, out.stat().st_size, fingerprint(public_key(settings)), rows)


def _facts(ledger: Ledger, row: VersionRow) -> dict[str, Any]:
    model = ledger.model(row.model)
    assert model is not None  # a version has a model
    verdict = {name: value for name, value in (row.verdict or {}).items() if name in VERDICT}
    return {
        "format": FORMAT,
        "model": row.model,
        "version": row.version,
        "digest": row.model_digest,
        "spec": model.spec,
        "verdict": verdict,
        "metric": row.metric,
        "score": row.score,
        "baseline": row.baseline,
    }


def _copy_evaluation(settings: Settings, stages: list[Any], target: Path) -> None:
    for each in stages:
        if each.stage != "evaluate" or not each.ref:
            continue
        folder = storage.resolve(settings, each.ref["uri"])
        for name in EVALUATION:
            if (folder / name).is_file():
                target.mkdir(mode=0o700, exist_ok=True)
                shutil.copyfile(folder / name, target / name)
