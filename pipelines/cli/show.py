"""`aimass models` and `aimass show`: what is known about the models."""

from __future__ import annotations

import difflib
from typing import Any

from pipelines.errors import SpecError
from pipelines.html_pages import latest_page, operation_page
from pipelines.ledger import Ledger
from pipelines.ledger.older_nights import older_than_live
from pipelines.ledger.versions import DELETED
from pipelines.settings import Settings
from pipelines.storage import resolve


def require_model(ledger: Ledger, name: str) -> Any:
    """Return a model's row; an unknown name is a SpecError that suggests similar names."""
    row = ledger.model(name)
    if row is None:
        known = [row.name for row in ledger.models()]
        near = difflib.get_close_matches(name, known, n=3) or known[:5]
        raise SpecError(
            "no such model",
            seen=name,
            expected=", ".join(near) or "a model that has had a night",
            cure="aimass models lists them; aimass init makes one; aimass run gives it its first night",
        )
    return row


def list_models(ledger: Ledger, archived: bool = False) -> list[dict[str, Any]]:
    """Return one line per model: what is live, how good it is, how the last night ended; or those that are archived."""
    lines, entries = [], ledger.catalog_rows(texts=False)
    for row in ledger.models():
        if archived != bool(row.name in entries and entries[row.name].archived):
            continue
        champion = ledger.champion(row.name)
        nights = ledger.nights(row.name)
        if nights and champion is None and all(night.state == DELETED for night in nights):
            continue  # the model as a whole was deleted
        last = nights[-1] if nights else None
        lines.append(
            {
                "model": row.name,
                "task": row.spec["task"],
                "live": champion.version if champion else None,
                "metric": champion.metric if champion else None,
                "score": champion.score if champion else None,
                "versions": len(ledger.versions(row.name)),
                "last_night": last.as_of.date().isoformat() if last else None,
                "state": last.state if last else None,
            }
        )
    return lines


def describe(ledger: Ledger, name: str) -> dict[str, Any]:
    """Return the content of ``aimass show NAME --json``: the champion's scores and the last night's facts."""
    model = require_model(ledger, name)
    nights = ledger.nights(name)
    last = nights[-1] if nights else None
    champion = ledger.champion(name)
    versions = ledger.versions(name)
    judged = champion or (versions[-1] if versions else None)
    stages = ledger.stages(name, last.night) if last else []
    digests = {row.stage: row.ref["digest"] for row in stages if row.ref}
    trained = _rows_trained(ledger, judged)
    return {
        "model": name,
        "task": model.spec["task"],
        "champion_version": champion.version if champion else None,
        "metric": judged.metric if judged else None,
        "sealed_score": judged.score if judged else None,
        "baseline_score": judged.baseline if judged else None,
        "rows_trained": trained,
        **(ledger.cost(name, judged.night) if judged else {}),
        "digests": {"model": judged.model_digest if judged else None, **digests},
        "night": last.night if last else None,
        "as_of": last.as_of.isoformat() if last else None,
        "state": last.state if last else None,
        "verdict": _verdict_of(ledger, name, last),
        "older_than_live": older_than_live(ledger, name, last) or None,
        "stage_seconds": {row.stage: row.seconds for row in stages},
    }


def _verdict_of(ledger: Ledger, name: str, last: Any) -> str | None:
    if last is None:
        return None
    published = ledger.publication(name, last.night)
    verdict = (published.verdict if published else None) or last.verdict or {}
    return verdict.get("verdict")


def _rows_trained(ledger: Ledger, judged: Any) -> int | None:
    if judged is None:
        return None
    told = (judged.verdict or {}).get("rows_trained")  # a night whose stages were cleared may have others now
    if told is not None:
        return int(told)
    rows = {row.stage: row.rows for row in ledger.stages(judged.model, judged.night)}
    return rows.get("features")


def lines_of(ledger: Ledger, settings: Settings, facts: dict[str, Any]) -> list[list[str]]:
    """Return the lines of ``aimass show NAME`` above its tables: name and text of each."""
    from pipelines.cli.releases import state_of

    name = facts["model"]
    fields = ("model", "task", "champion_version", "metric", "sealed_score", "baseline_score", "rows_trained")
    lines = [[field, "-" if facts[field] is None else str(facts[field])] for field in fields]
    if "row_ms_p99" in facts:
        took = f"{facts['row_ms_p50']:.3g} ms (median), {facts['row_ms_p99']:.3g} ms (99th percentile)"
        lines.append(["cost", f"{facts['model_bytes'] / 1e6:.1f} MB; one row {took}"])
    if (release := facts["release"]) is not None:
        lines.append(["release", f"version {release['version']} {state_of(release)}; see aimass releases {name}"])
    if said := ledger.archived(name):
        lines.append(["archived", said.removeprefix("archived ")])
    older = [["older than live", facts["older_than_live"]]] if facts["older_than_live"] else []
    return [
        *lines,
        ["last night", f"{facts['night']} ({facts['state']}, {facts['verdict'] or 'no verdict'})"],
        *older,
        ["model card", card_of(ledger, settings, name)],
        ["page of a night", page_of(settings, name)],
        ["operation page", operation_of(settings, name)],
    ]


def version_table(ledger: Ledger, name: str) -> list[list[Any]]:
    """Return the lines of a model's versions: version, state, night, score, baseline."""
    return [
        [row.version, row.state, row.as_of.date() if row.as_of else None, row.score, row.baseline]
        for row in ledger.versions(name)
    ]


def stage_table(ledger: Ledger, model: str, night: str) -> list[list[Any]]:
    """Return the lines of a night's stages: stage, state, seconds, rows, re-used."""
    return [
        [row.stage, row.state, row.seconds, row.rows, "re-used" if row.reused else ""]
        for row in ledger.stages(model, night)
    ]


def card_of(ledger: Ledger, settings: Settings, name: str) -> str:
    """Return the path of the model card of the live version, else of the newest one.

    Once its night was tidied away that is its copy among MLflow's artifacts; "-" if there is none.
    """
    versions = ledger.versions(name)
    judged = ledger.champion(name) or (versions[-1] if versions else None)
    rows = ledger.stages(name, judged.night) if judged is not None else []
    paths = [
        resolve(settings, row.ref["uri"], tables=False) / "card.html"
        for row in rows
        if row.stage == "evaluate" and row.ref
    ]
    if judged is not None and judged.mlflow_run:
        run = settings.mlflow_dir / "artifacts" / name / judged.mlflow_run
        paths.append(run / "artifacts" / "evaluation" / "card.html")
    return next((str(path) for path in paths if path.is_file()), "-")


def page_of(settings: Settings, name: str) -> str:
    """Return the path of the newest page of a model's nights."""
    page = latest_page(settings.docs, name)
    return str(page) if page else "-"


def operation_of(settings: Settings, name: str) -> str:
    """Return the path of the page that the monitor writes."""
    page = operation_page(settings.docs, name)
    return str(page) if page else "-"
