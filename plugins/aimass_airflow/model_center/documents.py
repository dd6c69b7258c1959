"""Model card, page of the night, page of the operation and Data Docs inside the center; no script of theirs runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from aimass_airflow.model_center.model_page import frame
from aimass_airflow.model_center.visits import Visit
from pipelines.artifacts import night_slug
from pipelines.html_pages import CARD, NIGHTS, operation_page

POLICY = {
    "Content-Security-Policy": "sandbox allow-same-origin; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
}
"""These pages are written by stages: their styles stand, nothing runs, nothing is loaded from elsewhere."""


def show(visit: Visit) -> Response:
    """``GET /models/NAME/documents?version=N&show=KIND``: the chosen document in a frame."""
    ledger, name = visit.ledger, visit.model.name
    facts = frame(visit, "documents")
    rows = ledger.score_line(name)
    asked = visit.request.query_params.get("version")
    live = facts["live"].version if facts["live"] else None
    version = visit.number("version") if asked else live or (rows[-1].version if rows else None)
    row = next((each for each in rows if each.version == version), None)
    found = _there(visit, row)
    chosen = visit.request.query_params.get("show", "")
    kind = chosen if chosen in found else next(iter(found), "")
    return visit.page("documents.html.jinja", **facts, rows=rows[::-1], row=row, found=found, kind=kind)


def _there(visit: Visit, row: Any) -> dict[str, tuple[str, str]]:
    """Return by kind the title and the address of the documents that there are."""
    name = visit.model.name
    docs = visit.settings.docs / name
    found: dict[str, tuple[str, str]] = {}
    if row is not None:
        slug = night_slug(row.night)
        for kind, title, file in (
            ("card", f"Model card of version {row.version}", f"{slug}{CARD}"),
            ("night", f"Page of the night of version {row.version}", f"{slug}.html"),
        ):
            if (docs / NIGHTS / file).is_file():
                found[kind] = (title, f"files/{NIGHTS}/{quote(file)}")
        if "card" not in found and _card(visit, row) is not None:
            found["card"] = (f"Model card of version {row.version}", f"card?version={row.version}")
    if (docs / "index.html").is_file():
        found["data"] = ("Data Docs of the newest night", "files/index.html")
    if operation_page(visit.settings.docs, name):
        found["operation"] = ("Page of the operation, written by the monitor", "operation-page")
    return found


def _card(visit: Visit, row: Any) -> Path | None:
    """Return the model card of a version in its night's folder, or its copy among MLflow's artifacts."""
    settings, name = visit.settings, visit.model.name
    version = visit.ledger.version(name, row.version)
    if version is None:
        return None
    stages = visit.ledger.stages(name, version.night)
    paths = [
        settings.storage / each.ref["uri"] / "card.html" for each in stages if each.stage == "evaluate" and each.ref
    ]
    if version.mlflow_run:
        run = settings.mlflow_dir / "artifacts" / name / version.mlflow_run
        paths.append(run / "artifacts" / "evaluation" / "card.html")
    return next((path for path in paths if path.is_file()), None)


def card(visit: Visit) -> Response:
    """``GET /models/NAME/card?version=N``."""
    number = visit.number("version")
    row = next((each for each in visit.ledger.score_line(visit.model.name) if each.version == number), None)
    path = None if row is None else _card(visit, row)
    if path is None:
        raise HTTPException(404, "no such card")
    return FileResponse(path, media_type="text/html", headers=POLICY)


def operation(visit: Visit) -> Response:
    """``GET /models/NAME/operation-page``."""
    path = operation_page(visit.settings.docs, visit.model.name)
    if path is None:
        raise HTTPException(404, "the monitor has written no page yet")
    return FileResponse(path, media_type="text/html", headers=POLICY)


def file(visit: Visit) -> Response:
    """``GET /models/NAME/files/PATH``: a page of the model's documents, and of no other folder."""
    root = (visit.settings.docs / visit.model.name).resolve()
    path = (root / visit.path("path")).resolve()
    if not path.is_relative_to(root) or path.suffix != ".html" or not path.is_file():
        raise HTTPException(404, "no such document")
    return FileResponse(path, media_type="text/html", headers=POLICY)
