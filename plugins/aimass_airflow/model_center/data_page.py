"""The pages of published tables: all of them; one with schema, first rows and origin; its download by right."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from aimass_airflow.model_center.rights import role_of
from aimass_airflow.model_center.visits import Visit
from pipelines.errors import DataError
from pipelines.ledger.mart import MartRow
from pipelines.mart.address import EXPECTED, Address

DOWNLOAD = "download-table"
MOST_COLUMNS = 60
"""Columns of the first rows that are shown."""
MOST_READERS = 30
PARQUET = "application/vnd.apache.parquet"


def show(visit: Visit) -> Response:
    """``GET /data``: the newest version of each table that the user may see."""
    wanted = visit.request.query_params.get("q", "").strip()[:100]
    newest = {row.name: row for row in _visible(visit, visit.ledger.newest_tables())}
    words = wanted.lower().split()
    rows = [
        row
        for row in newest.values()
        if all(word in f"{row.name} {row.description} {_model(row)}".lower() for word in words)
    ]
    return visit.page("data.html.jinja", here="data", rows=rows, q=wanted, any=bool(newest))


def table(visit: Visit) -> Response:
    """``GET /data/NAME?version=N``: schema, first rows and origin."""
    row, rows = _chosen(visit)
    model = _model(row)
    may = visit.may(DOWNLOAD, model)
    first: list[list[str | None]] = []
    told = ""
    if may and row.expired_at is None:
        from pipelines.mart.tables import preview

        try:
            first = preview(visit.settings, row)
        except DataError as error:  # the schema is known without it
            told = error.what
    return visit.page(
        "table.html.jinja",
        here="data",
        row=row,
        rows=rows[::-1],
        model=model,
        may=may,
        right=role_of(DOWNLOAD, model),
        first=[cells[:MOST_COLUMNS] for cells in first],
        names=[each["name"] for each in row.columns[:MOST_COLUMNS]],
        told=told,
    )


def readers(visit: Visit) -> Response:
    """``GET /data/NAME/readers?version=N``: the nights that read a version."""
    row, _ = _chosen(visit)
    found = visit.ledger.mart_readers().get((row.name, row.version), [])
    seen = visit.visible({name for name, _ in found})
    rows = [(name, night) for name, night in found if name in seen]
    return visit.page("parts/readers.html.jinja", rows=rows[-MOST_READERS:], more=max(0, len(rows) - MOST_READERS))


def download(visit: Visit) -> Response:
    """``GET /data/NAME/download?version=N``: the rows as one Parquet file."""
    row, _ = _chosen(visit)
    visit.need(DOWNLOAD, _model(row))
    if row.expired_at is not None:
        raise HTTPException(410, f"{row.address} expired at {row.expired_at:%Y-%m-%d %H:%M} UTC: {row.expired_why}")
    from pipelines.mart.tables import as_one_file

    held = ExitStack()
    path = held.enter_context(as_one_file(visit.settings, row))
    name = f"{row.name}-v{row.version}.parquet"
    return FileResponse(path, media_type=PARQUET, filename=name, background=BackgroundTask(held.close))


def readable(visit: Visit) -> list[str]:
    """Return the addresses of the newest tables that the user may read, as :func:`to_read` takes them."""
    rows = _visible(visit, visit.ledger.newest_tables())
    return [row.address for row in rows if visit.may(DOWNLOAD, _model(row))]


def to_read(visit: Visit, text: str) -> MartRow:
    """Return the published table at an address; 404 for what is not there, 403 for what may not be read."""
    try:
        name, version = Address.read(text)
    except ValueError:
        raise HTTPException(422, f"this names no published table: {text[:63]!r}; expected: {EXPECTED}") from None
    rows = [row for row in _visible(visit, visit.ledger.mart_tables(name)) if row.expired_at is None]
    found = next((row for row in reversed(rows) if version in (None, row.version)), None)
    if found is None:
        raise HTTPException(404, f"no such published table: {text[:63]}")
    visit.need(DOWNLOAD, _model(found))
    return found


def _model(row: MartRow) -> str:
    """Return the model whose night a table is from, which decides who may see it; empty for any other source."""
    return str(row.origin.get("model") or "")


def _visible(visit: Visit, rows: list[MartRow]) -> list[MartRow]:
    seen = visit.visible({_model(row) for row in rows} - {""})
    return [row for row in rows if not _model(row) or _model(row) in seen]


def _chosen(visit: Visit) -> tuple[MartRow, list[MartRow]]:
    """Return the version that the address names, the newest by default, and all; 404 for what the user may not see."""
    name = visit.path("name")
    rows = _visible(visit, visit.ledger.mart_tables(name))
    wanted: Any = visit.number("version") if visit.request.query_params.get("version") else None
    kept = [row for row in rows if row.expired_at is None] or rows
    found = next((row for row in rows if row.version == wanted), None) if wanted else (kept[-1] if kept else None)
    if found is None:
        raise HTTPException(404, f"no such published table: {name[:63]}" + (f"@{wanted}" if wanted else ""))
    return found, rows
