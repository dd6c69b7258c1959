"""Whether a stage's result, made again, is the one that was recorded: in all that later stages read of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines import stages, storage
from pipelines.artifacts import StageResult, canonical_json
from pipelines.errors import DataError
from pipelines.settings import Settings
from pipelines.storage.tables import FACTS, table_facts

MEASURED = ("fit_seconds", "seconds", "device", "row_ms")
"""Columns of the trials, and a number of the verdict, that are measured and differ from run to run."""


def differences(settings: Settings, scratch: Settings, row: Any, made: StageResult) -> list[str] | None:
    """Name the parts in which a result made again differs from the recorded one; none: it is the same.

    Returns
    -------
    list of str or None
        None where the recorded files are gone and what is left of them cannot tell.
    """
    recorded = row.ref
    if made.ref.digest == recorded["digest"]:
        return []
    again = storage.resolve(scratch, made.ref.uri)
    folder = storage.resolve(settings, recorded["uri"])
    if (folder / storage.MANIFEST).is_file():
        try:
            folder, _ = storage.open_folder(settings, recorded["uri"])
        except DataError as error:
            return [f"the recorded result is damaged: {error.seen}"]
        before, after = contents(row.stage, folder), contents(row.stage, again)
        return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return _by_facts(row, made)


def contents(stage: str, folder: Path) -> dict[str, str]:
    """Return the digest of each part of a result that is read: whole tables by their content, all else by its bytes."""
    found: dict[str, str] = {}
    for part in stages.get(stage).identity:
        path = folder / part
        if part == "verdict.json":
            verdict = json.loads(path.read_bytes())
            found[part] = canonical_json({name: value for name, value in verdict.items() if name not in MEASURED})
        elif path.is_file():
            found[part] = storage.file_sha256(path)
        elif stage == "tune" and part == "trials" and path.is_dir():
            found[part] = _trials(path)
        elif (path / FACTS).is_file():
            found[part] = table_facts(path)["digest"]
        else:
            files = (each for each in path.rglob("*") if each.is_file())
            found |= {each.relative_to(folder).as_posix(): storage.file_sha256(each) for each in files}
    return found


def _trials(folder: Path) -> str:
    table = storage.read_table(folder)
    kept = table.drop_columns([name for name in MEASURED if name in table.column_names])
    return canonical_json(kept.to_pylist())


def _by_facts(row: Any, made: StageResult) -> list[str] | None:
    """Compare by what the ledger holds, once the files are gone."""
    before, after = row.ref.get("meta") or {}, made.ref.meta
    if row.stage == "ingest" and (row.stats or {}).get("digest"):
        return [] if row.stats["digest"] == made.stats.get("digest") else ["raw"]
    if row.stage == "ensemble" and before.get("digest"):
        return [] if before["digest"] == after.get("digest") else ["model"]
    if row.stage == "tune" and "best" in before:
        return None if before["best"] == after.get("best") else ["best trial"]
    return ["rows"] if row.rows != made.ref.rows else None


def reasons(row: Any, made_of: Mapping[str, Any]) -> list[str]:
    """Name what else has changed since: a stage whose inputs are the same differs because of it."""
    words = {
        "code": "the code of the stage",
        "environment": "the lock of the environment",
        "python": "Python",
        "outside": "what lies outside the night: files, suite, date",
        "model": "the model's spec",
    }
    changed = [text for name, text in words.items() if _plain(row.made_of.get(name)) != _plain(made_of.get(name))]
    reasons = [f"{text} has changed since" for text in changed]
    if (row.spec or {}).get("budget_seconds") and not (row.spec or {}).get("trials"):
        reasons.append("its budget is in seconds, which no second run spends alike; a budget in trials is reproducible")
    return reasons or ["nothing that it is known to depend on has changed"]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
