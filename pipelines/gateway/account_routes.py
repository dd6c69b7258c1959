"""The addresses of feedback, usage and cost."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipelines.errors import SpecError
from pipelines.gateway import feedback as labels
from pipelines.gateway.calls import call_of
from pipelines.gateway.errors import RequestError
from pipelines.gateway.json_body import parse_json
from pipelines.gateway.prices import Prices, bill
from pipelines.gateway.request_body import content_type, read_body

if TYPE_CHECKING:
    from pipelines.gateway.core import Gateway

MOST = 1e12
_encode = msgspec.json.Encoder(decimal_format="number").encode


async def feedback(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/feedback``: true labels by request id, as JSON, or as CSV with ``?model=NAME``."""
    body = await read_body(request, labels.TYPES)
    call = call_of(request)
    if content_type(request) == labels.CSV:
        name = request.query_params.get("model", "")
        found = labels.read_csv(body)
    else:
        content = parse_json(body)
        name = labels.model_of(content)
        found = labels.read_json(content)
    await gateway.tokens.require(request.headers.get("authorization"), "feedback", name)
    await gateway.router.known(name)
    if gateway.feedback is None or not gateway.feedback.add(labels.Labels(name, datetime.now(UTC), call.token, found)):
        raise RequestError(503, "too many labels are waiting to be written", headers={"Retry-After": "5"})
    return _json({"accepted": len(found), "model": name, "request_id": call.request_id}, 202)


async def usage(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/usage?month=YYYY-MM``: what the caller's token asked for; with the scope ``metrics`` that of all."""
    text = request.query_params.get("month")
    try:
        start = datetime.now(UTC).date() if text is None else date.fromisoformat(f"{text}-01")
        if start.year > 9998:  # the month after it must be a date
            raise ValueError(text)
    except ValueError:
        raise RequestError(400, "this is no month", where="month", seen=text, expected="such as 2026-11") from None
    start = start.replace(day=1)
    end = (start + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    call = call_of(request)
    everyone = {"metrics", "admin"} & set(call.scopes)
    rows = await anyio.to_thread.run_sync(gateway.ledger.usage, start, end, None if everyone else call.token)
    lines = bill(rows, _prices(gateway))
    return _json({"month": f"{start:%Y-%m}", "usage": lines, "request_id": call.request_id})


async def estimate(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/estimate`` with ``{"model": NAME, "rows": N, "requests": M}``: what that would cost."""
    content = parse_json(await read_body(request))
    name = labels.model_of(content)
    rows, requests = content.get("rows", 0), content.get("requests", 1)
    for field, value in (("rows", rows), ("requests", requests)):
        if type(value) is not int or not 0 <= value <= MOST:
            raise RequestError(400, "this is no count", where=field, seen=value, expected=f"0 to {MOST:.0f}")
    if not content.keys() <= {"model", "rows", "requests"}:
        raise RequestError(400, "the body has the wrong shape", seen=sorted(content), expected="model, rows, requests")
    await gateway.tokens.require(request.headers.get("authorization"), "predict", name)
    await gateway.router.known(name)
    prices = _prices(gateway)
    cost = prices.of(name).of(requests, rows)
    facts = {"model": name, "rows": rows, "requests": requests, "cost": cost, "currency": prices.currency}
    return _json({**facts, "request_id": call_of(request).request_id})


def _prices(gateway: Gateway) -> Prices:
    try:
        return Prices.load(gateway.settings.home)
    except SpecError as error:
        raise RequestError(503, error.what, where=error.where, seen=error.seen, cure="correct prices.json") from None


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(_encode(content), status_code=status, media_type="application/json")
