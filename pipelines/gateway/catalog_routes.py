"""The addresses of the catalog: what people say of models; a change names the entry that it saw (``If-Match``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipelines.errors import AimassError, SpecError
from pipelines.gateway.auth import ALL, allows
from pipelines.gateway.calls import call_of
from pipelines.gateway.errors import RequestError
from pipelines.gateway.json_body import parse_json
from pipelines.gateway.request_body import read_body

if TYPE_CHECKING:
    from pipelines.gateway.core import Gateway
    from pipelines.ledger import Ledger

MAX_BYTES = 128 * 1024
LONGEST_QUERY = 200
MOST_VERSIONS = 100
LARGEST = 2**31 - 1
"""Largest number of a version or a note."""
ARCHIVED = {"false": False, "true": True, "any": None}
READ, WRITE = "catalog", "catalog-write"
_ETAG = re.compile(r'(?:W/)?"?([0-9]{1,9})"?')
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


async def find(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/catalog/models?q=TEXT&domain=&tag=&owner=&archived=``: entries that fit, the best first."""
    from pipelines.catalog.search import Filter, search

    _quiet(request)
    asked = request.query_params
    for name in ("q", "domain", "tag", "owner"):
        if len(asked.get(name, "")) > LONGEST_QUERY:
            raise RequestError(400, "this is too long", where=name, expected=f"at most {LONGEST_QUERY} characters")
    archived = asked.get("archived", "false")
    if archived not in ARCHIVED:
        raise RequestError(400, "no such choice", where="archived", seen=archived, expected=", ".join(ARCHIVED))
    wanted = Filter(asked.get("domain", ""), asked.get("tag", ""), asked.get("owner", ""), ARCHIVED[archived])
    hits = await _do(gateway, partial(search, _ledger(gateway), asked.get("q", ""), wanted))
    scopes = call_of(request).scopes
    found = [
        {**hit.entry.as_json(), "score": hit.score, "found_in": list(hit.where)}
        for hit in hits
        if allows(scopes, READ, hit.entry.model)
    ]
    return _json({"models": found})


async def entry(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/catalog/models/NAME``: the entry with its notes and ratings; its ``ETag`` is for ``If-Match``."""
    name = _quiet(request)
    return await _do(gateway, lambda: _entry(_ledger(gateway), name))


async def change(gateway: Gateway, request: Request) -> Response:
    """``PATCH /v1/catalog/models/NAME`` with the fields that change; null takes back what was said."""
    from pipelines.catalog import verbs

    name, ledger = _quiet(request), _ledger(gateway)
    body, seen = await _body(request), _seen(request)
    moves = "domain" in body and ALL not in call_of(request).scopes
    if moves and await _do(gateway, lambda: bool(ledger.role_domains())):
        raise RequestError(
            403,
            "this token may not move a model: its domain decides who may act on it",
            where=name[:63],
            expected="a token of the scope admin",
            cure="ask an owner of both domains to do it in the Model Center",
        )
    await _do(gateway, partial(verbs.describe, ledger, name, body, _who(request), seen))
    return await _do(gateway, lambda: _entry(ledger, name))


async def annotate(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/catalog/models/NAME/notes`` with ``{"text", "version"}``: a note on the model, or on a version."""
    from pipelines.catalog import verbs
    from pipelines.catalog.entries import note_json

    name = _quiet(request)
    body = await _body(request, ("text", "version"))
    version = body.get("version")
    if version is not None:
        version = _number(version, "version")
    row = await _do(gateway, lambda: verbs.annotate(_ledger(gateway), name, body.get("text"), _who(request), version))
    return _json(note_json(row), 201)


async def remove_note(gateway: Gateway, request: Request) -> Response:
    """``DELETE /v1/catalog/models/NAME/notes/N``: remove a note of one's own; a token of ``admin`` any."""
    from pipelines.catalog import verbs

    name, text = _quiet(request), request.path_params["note"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RequestError(404, "no such note", where=name[:63], seen=text)
    any_of = ALL in call_of(request).scopes
    await _do(gateway, partial(verbs.remove_note, _ledger(gateway), name, int(text), _who(request), any_of=any_of))
    return Response(status_code=204)


async def rate(gateway: Gateway, request: Request) -> Response:
    """``PUT /v1/catalog/models/NAME/rating`` with ``{"stars", "text"}``: what whoever has the token thinks of it."""
    from pipelines.catalog import verbs
    from pipelines.catalog.entries import rating_json

    name = _quiet(request)
    body = await _body(request, ("stars", "text"))
    given = _whole(body.get("stars")), body.get("text", ""), _who(request)
    return _json(rating_json(await _do(gateway, partial(verbs.rate, _ledger(gateway), name, *given))))


async def withdraw(gateway: Gateway, request: Request) -> Response:
    """``DELETE /v1/catalog/models/NAME/rating``: take it back."""
    from pipelines.catalog import verbs

    name = _quiet(request)
    await _do(gateway, partial(verbs.withdraw, _ledger(gateway), name, _who(request)))
    return Response(status_code=204)


async def archive(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/catalog/models/NAME:archive`` with ``{"why", "pause"}``; 409 while it is asked or a night runs."""
    from pipelines.catalog import verbs

    name, ledger = _quiet(request), _ledger(gateway)
    body, seen = await _body(request, ("why", "pause")), _seen(request)
    pause = _truth(body, "pause", False)
    await _do(gateway, lambda: verbs.archive(ledger, name, body.get("why"), _who(request), pause=pause, seen=seen))
    return await _do(gateway, lambda: _entry(ledger, name))


async def unarchive(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/catalog/models/NAME:unarchive`` with ``{"why"}``."""
    from pipelines.catalog import verbs

    name, ledger = _quiet(request), _ledger(gateway)
    body, seen = await _body(request, ("why",)), _seen(request)
    await _do(gateway, lambda: verbs.unarchive(ledger, name, body.get("why"), _who(request), seen))
    return await _do(gateway, lambda: _entry(ledger, name))


async def share(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/catalog/models/NAME/share``: the addresses of the model, and whose tokens may call it."""
    from pipelines.catalog import verbs

    name = _quiet(request)
    return _json(await _do(gateway, lambda: verbs.share(gateway.settings, _ledger(gateway), name)))


async def delete(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/catalog/models/NAME:delete`` with ``{"versions", "why", "dry_run"}``; 409 for what is in use."""
    from pipelines.catalog.deleting import delete_versions

    name, ledger = _quiet(request), _ledger(gateway)
    body = await _body(request, ("versions", "why", "dry_run"))
    versions = body.get("versions")
    if not isinstance(versions, list) or not 0 < len(versions) <= MOST_VERSIONS:
        raise RequestError(400, "which versions?", where="versions", expected=f"a list of 1 to {MOST_VERSIONS} numbers")
    numbers = [_number(each, "versions") for each in versions]
    dry_run, why, who = _truth(body, "dry_run", True), body.get("why"), _who(request)
    gone = await _do(
        gateway, lambda: delete_versions(gateway.settings, ledger, name, numbers, why, who, dry_run=dry_run)
    )
    return _json({"deleted": not dry_run, "items": gone})


async def described_models(gateway: Gateway, scopes: Sequence[str]) -> list[str]:
    """Return the models whose entry a token of these scopes may read."""
    if not allows(scopes, READ, None):
        return []
    names = await anyio.to_thread.run_sync(_ledger(gateway).model_specs)
    return [name for name in names if allows(scopes, READ, name)]


def _entry(ledger: Ledger, name: str) -> Response:
    from pipelines.catalog import verbs
    from pipelines.catalog.entries import note_json, rating_json

    found = verbs.show(ledger, name)
    notes, ratings = map(note_json, ledger.notes(name)), map(rating_json, ledger.ratings(name))
    content = {**found.as_json(), "notes": list(notes), "ratings": list(ratings)}
    return _json(content, headers={"ETag": found.etag})


async def _do(gateway: Gateway, verb: Callable[[], T]) -> T:
    """Do something in a thread, for the ledger is a database; its typed errors become statuses."""
    from pipelines.catalog.verbs import MissingError, NotYoursError, StaleError
    from pipelines.ledger.archive import InUseError

    try:
        return await anyio.to_thread.run_sync(verb)
    except AimassError as error:
        kinds = {MissingError: 404, NotYoursError: 403, StaleError: 409, InUseError: 409, SpecError: 400}
        status = next((code for kind, code in kinds.items() if isinstance(error, kind)), 502)
        raise RequestError(
            status,
            error.what,
            where=error.where,
            seen=error.seen,
            expected=error.expected,
            cure=error.cure,
            faults=error.faults,
        ) from None


def _quiet(request: Request) -> str:
    """Return the name of the model; the request is no prediction: it is neither metered nor logged as one."""
    call = call_of(request)
    call.model, call.metered = "", False
    return str(request.path_params.get("name", ""))


def _who(request: Request) -> str:
    return call_of(request).token


def _ledger(gateway: Gateway) -> Ledger:
    return cast("Ledger", gateway.ledger)


async def _body(request: Request, known: tuple[str, ...] | None = None) -> dict[str, Any]:
    content = parse_json(await read_body(request, limit=MAX_BYTES))
    if not isinstance(content, dict) or (known is not None and not content.keys() <= set(known)):
        seen = sorted(content) if isinstance(content, dict) else type(content).__name__
        expected = "an object" + (f" of {', '.join(known)}" if known else "")
        raise RequestError(400, "the body has the wrong shape", seen=seen, expected=expected)
    return content


def _seen(request: Request) -> int | None:
    """Return the revision that ``If-Match`` names; None without it, or for any."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    found = _ETAG.fullmatch(text.strip())
    if found is None:
        raise RequestError(400, "this is no ETag of an entry", where="If-Match", seen=text, expected='such as "3"')
    return int(found[1])


def _whole(value: Any) -> Any:
    """Return 4 for 4.0, which JSON does not tell apart; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any, where: str) -> int:
    whole = _whole(value)
    if type(whole) is not int or not 1 <= whole <= LARGEST:
        raise RequestError(400, "this is no version", where=where, seen=value, expected=f"1 to {LARGEST}")
    return whole


def _truth(body: Mapping[str, Any], name: str, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise RequestError(400, "this is neither true nor false", where=name, seen=value, expected="true or false")
    return value


def _json(content: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encode(content), status_code=status, media_type="application/json", headers=dict(headers or {}))
