"""What every request goes through: id, time, metrics and access log around it; token, scope and limits before it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.gateway.calls import CALL, Call
from pipelines.gateway.core import Gateway
from pipelines.tracing import Tracing

STICKY = b"x-sticky-key"
"""Requests with the same value are answered by the same version while another one is being released."""


class Observed:
    """Assigns each request an id, and counts, logs and meters it when it is answered."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self.app, self.gateway = app, gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        call = Call(uuid4().hex, time.perf_counter())
        scope[CALL] = call
        gateway = self.gateway
        gateway.in_flight += 1

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", call.request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            gateway.in_flight -= 1
            gateway.record(call, f"{scope['method']} {scope['path']}")


class Traced:
    """Opens a span for each request, within the one that the caller's ``traceparent`` names."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self.app, self.tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        parent = _header(scope["headers"], b"traceparent") or ""
        with request_span(self.tracing, scope[CALL], scope["method"], parent, scope["path"]):
            await self.app(scope, receive, send)


@contextmanager
def request_span(tracing: Tracing, call: Call, name: str, parent: str, path: str) -> Iterator[None]:
    """Open the span of a request, which notes at its end what came of it; only what is 5xx has failed."""
    with tracing.span(name, "SERVER", parent=parent, request_id=call.request_id) as span:
        call.traceparent = span.traceparent
        yield
        span.note(model=call.model, status=call.status, rows=call.rows, path=path)
        if call.status >= 500:
            span.fail(call.error)


class Authorized:
    """Lets only requests pass that carry a token with a scope, and within the token's limits.

    Configured with each route. Where an address names no model, a token of one model passes if ``any_model`` is set.
    """

    def __init__(self, app: ASGIApp, gateway: Gateway, scope: str, any_model: bool = False) -> None:
        self.app, self.gateway, self.scope = app, gateway, scope
        self.without = None if any_model else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        model = scope.get("path_params", {}).get("name", "")
        call: Call = scope[CALL]
        call.model, call.sticky = model, _header(scope["headers"], STICKY) or ""
        gateway = self.gateway
        header = _header(scope["headers"], b"authorization")
        token = await gateway.tokens.require(header, self.scope, model or self.without)
        call.token, call.scopes, call.metered = token.name, tuple(token.scopes), scope["method"] == "POST"
        await gateway.quotas.enter(token)
        try:
            await self.app(scope, receive, send)
        finally:
            gateway.quotas.leave(token)


def _header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key == name), None)
