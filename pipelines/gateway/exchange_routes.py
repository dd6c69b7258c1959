"""The addresses that bring models in, give versions out and judge them: work of a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from pipelines.errors import AimassError, DataError, DeployError, DiskFullError, SpecError
from pipelines.exchange import FORMATS
from pipelines.gateway.auth import allows
from pipelines.gateway.calls import call_of
from pipelines.gateway.catalog_routes import LARGEST, as_json, ledger_of, quiet, who_asks
from pipelines.gateway.data_routes import SCOPE as DATA
from pipelines.gateway.errors import RequestError
from pipelines.gateway.request_body import content_type
from pipelines.mart.address import EXPECTED, Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.gateway.core import Gateway

TABLES = {"text/csv": ".csv", "application/vnd.apache.parquet": ".parquet", "application/json": ".json"}
"""Content types of a table, and the ending of a file of each."""
LONGEST_SLICES = 500


async def import_(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/catalog/models/NAME:import``: a form with ``file`` and what it needs; 201 with the new version."""
    from pipelines.exchange import asked, upload

    name = quiet(request)
    if content_type(request) != upload.FORM:
        raise _other_type(request, upload.FORM)
    async with _work(gateway, "upload") as work:
        with _told(), asked.only_one(gateway.settings, "import"):
            found = await upload.receive_form(request, work, asked.LARGEST_IMPORT, asked.PARTS)
            verb = partial(asked.import_upload, gateway.settings, name, found, work, who_asks(request))
            return as_json({**await anyio.to_thread.run_sync(verb), "live": False}, 201)


async def export(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/catalog/models/NAME/versions/V:export?format=archive``: the file, as an attachment."""
    from pipelines.exchange import asked

    name = quiet(request)
    form = request.query_params.get("format", "archive")
    if form not in FORMATS:
        raise RequestError(400, "no such format", where="format", seen=form, expected=", ".join(FORMATS))
    version = await _version(gateway, request)
    with ExitStack() as stack:
        work = await anyio.to_thread.run_sync(_folder, gateway, "download")
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        with _told():
            wanted = name, version, form, work, who_asks(request)
            path = await anyio.to_thread.run_sync(partial(asked.export_file, gateway.settings, *wanted))
        later = BackgroundTask(stack.pop_all().close)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}
    return FileResponse(path, media_type=FORMATS[form], filename=path.name, headers=headers, background=later)


async def evaluate(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/catalog/models/NAME:evaluate?slices=A,B``, or ``…/versions/V:evaluate``, with a table as body.

    With ``?table=mart:NAME@V`` it is a published table instead, which the token has to be for.
    """
    from pipelines.exchange import asked, upload

    name, kind = quiet(request), content_type(request)
    published = _published(request)
    if not published and not kind:
        raise RequestError(422, "there is no table", expected=f"one as body ({', '.join(TABLES)}), or ?table=mart:NAME")
    if not published and kind not in TABLES:
        raise _other_type(request, ", ".join(TABLES))
    slices = request.query_params.get("slices", "")
    if len(slices) > LONGEST_SLICES:
        raise RequestError(400, "this is too long", where="slices", expected=f"at most {LONGEST_SLICES} characters")
    version = await _version(gateway, request)
    async with _work(gateway, "upload") as work:
        with _told():
            table: str | Path = published
            if not published:
                table = work / f"table{TABLES[kind]}"
                await upload.receive_file(request, table, asked.LARGEST_TABLE)
            verb = partial(asked.evaluate_table, gateway.settings, name, version, table, slices, work)
            return as_json(await anyio.to_thread.run_sync(verb))


def _published(request: Request) -> str:
    """Return the address of the published table that is asked for, or nothing.

    Raises
    ------
    RequestError
        400 for what is no address, 403 for a token that is not for the table.
    """
    text = request.query_params.get("table", "")
    if not text:
        return ""
    try:
        address = Address.read(text)
    except ValueError:
        raise RequestError(400, "no published table", where="table", seen=text[:80], expected=EXPECTED) from None
    if not allows(call_of(request).scopes, DATA, address.name):
        scopes = f"{DATA}:{address.name}, besides that for the catalog"
        raise RequestError(
            403, "the token is not for this table", where=text, expected=f"a token with the scope {scopes}"
        )
    return str(address)


async def _version(gateway: Gateway, request: Request) -> int:
    """Return the version of an address; without one that which is live, else the newest."""
    from pipelines.exchange.versions import wanted_version

    name, text = str(request.path_params["name"]), request.path_params.get("version")
    if text is not None and not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= LARGEST):
        raise RequestError(404, "no such version", where=name[:63], seen=text, expected="a number such as 3")
    number = None if text is None else int(text)
    with _told():
        found = await anyio.to_thread.run_sync(partial(wanted_version, ledger_of(gateway), name, number))
        return found.version


def _folder(gateway: Gateway, name: str) -> Path:
    from pipelines.storage import stage_folder

    return stage_folder(gateway.settings, name)


@asynccontextmanager
async def _work(gateway: Gateway, name: str) -> AsyncIterator[Path]:
    """Yield a private folder that is removed afterwards."""
    folder = await anyio.to_thread.run_sync(_folder, gateway, name)
    try:
        yield folder
    finally:
        await anyio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))


@contextmanager
def _told() -> Iterator[None]:
    """Turn typed errors into statuses."""
    from pipelines.catalog.verbs import MissingError
    from pipelines.exchange.asked import BusyError
    from pipelines.exchange.upload import TooLargeError

    statuses: dict[type[AimassError], int] = {
        MissingError: 404, BusyError: 409, TooLargeError: 413,
        SpecError: 422, DataError: 422, DeployError: 422, DiskFullError: 507,
    }  # fmt: skip
    try:
        yield
    except AimassError as error:
        status = next((code for kind, code in statuses.items() if isinstance(error, kind)), 502)
        headers = {"Retry-After": "30"} if isinstance(error, BusyError) else None
        facts: dict[str, Any] = {name: getattr(error, name) for name in ("where", "seen", "expected", "cure", "faults")}
        raise RequestError(status, error.what, **facts, headers=headers) from None


def _other_type(request: Request, expected: str) -> RequestError:
    return RequestError(
        415,
        "the body is of another type",
        where="content-type",
        seen=content_type(request) or "none",
        expected=expected,
        cure="docs/guides/import-and-export.md shows each with curl",
    )
