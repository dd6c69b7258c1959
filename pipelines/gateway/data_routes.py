"""The addresses of published tables: the list, one with schema and first rows, its download as Parquet."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from pipelines.errors import AimassError
from pipelines.gateway.auth import allows
from pipelines.gateway.calls import call_of
from pipelines.gateway.errors import RequestError

if TYPE_CHECKING:
    from pipelines.gateway.core import Gateway

SCOPE = "data"
PARQUET = "application/vnd.apache.parquet"
SHOWN = ("name", "version", "address", "digest", "rows", "bytes", "columns", "description", "origin", "created_at")


async def tables(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/data``: the newest version of each table that the token is for."""
    rows = await anyio.to_thread.run_sync(gateway.ledger.newest_tables)
    scopes = call_of(request).scopes
    newest = {row.name: row for row in rows if allows(scopes, SCOPE, row.name)}
    return JSONResponse({"tables": [_facts(row) for row in newest.values()]})


async def table(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/data/NAME?version=N``: schema, origin and first rows; without a version of the newest."""
    from pipelines.mart.tables import preview

    row = await _row(gateway, request)
    first = await _asked(partial(preview, gateway.settings, row))
    return JSONResponse({**_facts(row), "preview": first})


async def download(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/data/NAME/download?version=N``: the rows as one Parquet file."""
    from pipelines.mart.tables import as_one_file

    row = await _row(gateway, request)
    held = ExitStack()
    path = await _asked(lambda: held.enter_context(as_one_file(gateway.settings, row)))
    name = f"{row.name}-v{row.version}.parquet"
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}
    return FileResponse(path, media_type=PARQUET, filename=name, headers=headers, background=BackgroundTask(held.close))


def _facts(row: Any) -> dict[str, Any]:
    from pipelines.mart.tables import facts_of

    facts = facts_of(row)
    return {name: facts[name] for name in SHOWN}


async def _asked(work: Any) -> Any:
    try:
        return await anyio.to_thread.run_sync(work)
    except AimassError as error:  # damaged, or the storage is away
        raise RequestError(503, error.what, where="the table", cure="tell who runs the installation") from None


async def _row(gateway: Gateway, request: Request) -> Any:
    """Return the version that is asked for.

    Raises
    ------
    RequestError
        403 for a token that is not for the table, 400 for what is no version, 404 for an unknown one, 410 for an
        expired one.
    """
    name, wanted = str(request.path_params["table"]), request.query_params.get("version")
    await gateway.tokens.require(request.headers.get("authorization"), SCOPE, name)
    if wanted is not None and not (wanted.isascii() and wanted.isdigit() and len(wanted) < 10):
        raise RequestError(400, "this is no version", where="version", seen=wanted, expected="a number such as 3")
    rows = await anyio.to_thread.run_sync(gateway.ledger.mart_tables, name)
    kept = [row for row in rows if row.expired_at is None]
    versions = ", ".join(str(row.version) for row in kept[-10:]) or "none"
    if wanted is None:
        found = kept[-1] if kept else rows[-1] if rows else None
    else:
        found = next((row for row in rows if row.version == int(wanted)), None)
    if found is None:
        raise RequestError(404, "no such published table", where=name, seen=wanted or name, expected=versions)
    if found.expired_at is not None:
        why = f"{found.expired_at:%Y-%m-%d %H:%M} UTC: {found.expired_why}"
        raise RequestError(
            410, "this version of the table has expired", where=found.address, seen=why, expected=versions
        )
    return found
