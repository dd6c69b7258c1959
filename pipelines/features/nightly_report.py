"""Publishes one page per night from the reports of its stages, also of nights that re-used results or stopped."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import stages, storage
from pipelines.artifacts import Night, night_slug
from pipelines.features.page import gather, render
from pipelines.html_pages import CARD, show_page
from pipelines.ledger import Ledger
from pipelines.settings import Settings

log = logging.getLogger(__name__)

STAGES = tuple(stage.name for stage in stages.NIGHT if stage.on_page)


@dataclass(frozen=True)
class ComparedTables:
    """The two tables whose columns are compared, each with its name."""

    train: Path
    tonight: Path
    train_is: str
    tonight_is: str


def publish_report(night: Night, settings: Settings) -> Path | None:
    """Write the page of a night under ``settings.docs/<model>/nights/`` from what its stages left; return its path.

    Of a night that a stage has stopped, the page tells which and why, and what the stages before it left.

    Returns
    -------
    Path or None
        None if the page cannot be made: a page never stops a night.
    """
    try:
        page = _page(night, settings)
        name, slug = night.model.name, night_slug(night.night)
        path = show_page(render(page), settings.docs, name, slug, page["card"])
    except Exception as error:  # noqa: BLE001 - whatever ails a page, the night goes on
        log.warning(f"no page of this night: {type(error).__name__}: {error}")
        return None
    log.info(f"report: {path}")
    return path


def _page(night: Night, settings: Settings) -> dict[str, Any]:
    name = night.model.name
    with Ledger.open(settings) as ledger:
        rows = ledger.stages(name, night.night)
        live = ledger.champion(name)
        learned = ledger.stages(name, live.night) if live is not None and live.night != night.night else ()
    compared = ("split", "clean") if learned and not night.model.time else ("split",)
    folders = {
        row.stage: storage.resolve(settings, row.ref["uri"], tables=row.stage in compared)
        for row in rows
        if row.state == "done" and row.ref
    }
    folders = {stage: folder for stage, folder in folders.items() if folder.is_dir()}
    errors = [{**row.error, "stage": row.stage} for row in rows if row.state == "failed" and row.error]
    trained = [
        storage.resolve(settings, row.ref["uri"]) / "train" for row in learned if row.stage == "split" and row.ref
    ]
    sides = choose_sides(night, folders, trained[-1] if trained else None, live.version if live is not None else None)
    docs = folders["validate"] / "docs" if "validate" in folders else None
    told = str(docs.relative_to(settings.storage)) if docs is not None and docs.is_dir() else ""
    page = {**gather(night, reports(folders), folders, sides), "errors": errors, "data_docs": told}
    verdict: dict[str, Any] = next((row.ref["meta"] for row in rows if row.stage == "evaluate" and row.ref), {})
    card = folders["evaluate"] / "card.html" if "evaluate" in folders else None
    return {**page, "verdict": verdict, "card": card, "card_name": f"{night_slug(night.night)}{CARD}"}


def choose_sides(
    night: Night, folders: Mapping[str, Path], trained: Path | None, version: int | None
) -> ComparedTables | None:
    """Choose what tonight's rows are compared with: the live version's training rows, else tonight's.

    Tonight's are the newest labelled days of a dated model, else the whole cleaned table; on a first night the sealed
    rows.
    """
    split, clean = folders.get("split"), folders.get("clean")
    newest = "tonight's newest labelled days (sealed)" if night.model.time else "tonight's sealed rows, drawn by key"
    if trained is not None and any(trained.glob("*.parquet")):
        told = f"rows that the live version {version} learned from"
        if night.model.time and split is not None:
            return ComparedTables(trained, split / "sealed", told, newest)
        return ComparedTables(trained, clean / "cleaned", told, "tonight's cleaned rows") if clean is not None else None
    return (
        ComparedTables(split / "train", split / "sealed", "tonight's training rows", newest)
        if split is not None
        else None
    )


def reports(folders: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Read ``report.json`` of every stage of the night; one that is not there is empty."""
    found: dict[str, dict[str, Any]] = {}
    for stage in STAGES:
        path = folders[stage] / "report.json" if stage in folders else None
        said = json.loads(path.read_text()) if path is not None and path.is_file() else {}
        found[stage] = said if isinstance(said, dict) else {}
    return found
