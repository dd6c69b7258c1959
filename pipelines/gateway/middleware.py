"""What every request goes through: id, time, metrics and access log around it; token, scope and limits before it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.gateway.prediction_log import Answered

if TYPE_CHECKING:
    from pipelines.gateway.app import Gateway
    from pipelines.gateway.services import Predicted
    from pipelines.gateway.tables import Table

CALL = "aimass.call"
UNKNOWN = "(unknown)"

access = logging.getLogger("pipelines.gateway.access")


@dataclass
class Call:
    """One request on its way; what is not known yet is empty."""

    request_id: str
    started: float
    model: str = ""
    token: str = ""
    scopes: Sequence[str] = ()
    status: int = 500
    error: str = ""
    table: Table | None = None
    predicted: Predicted | None = None

    @property
    def rows(self) -> int:
        """Rows that were asked for."""
        return 0 if self.table is None else self.table.rows


def call_of(request: Request) -> Call:
    """Return what is known of a request."""
    call: Call = request.scope[CALL]
    return call


class Observed:
    """Gives each request an id, and counts, logs and meters it when it is answered."""

    def __init__(self, app: ASGIApp, gateway: Gateway, log_all: bool) -> None:
        self.app, self.gateway, self.log_all = app, gateway, log_all

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
            self._record(scope, call)

    def _record(self, scope: Scope, call: Call) -> None:
        seconds = time.perf_counter() - call.started
        gateway = self.gateway
        if call.model:
            known = call.model if call.model in gateway.router.snapshot.models() else UNKNOWN
            gateway.metrics.observe(known, call.status, seconds, call.rows, _counts(call.predicted))
            if known != UNKNOWN and call.token:
                gateway.usage.count(call.token, known, call.status, call.rows)
                if gateway.log is not None:
                    gateway.log.add(_logged(call, known, seconds * 1000))
        if self.log_all or call.status >= 400:
            access.info(
                "%s %s %d %.1f ms id=%s token=%s%s",
                scope["method"],
                scope["path"][:200].encode("ascii", "backslashreplace").decode(),
                call.status,
                seconds * 1000,
                call.request_id,
                call.token or "-",
                f" {call.error}" if call.error else "",
            )


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
        call.model = model
        gateway = self.gateway
        header = _header(scope["headers"], b"authorization")
        token = await gateway.tokens.require(header, self.scope, model or self.without)
        call.token, call.scopes = token.name, token.scopes
        await gateway.quotas.enter(token)
        try:
            await self.app(scope, receive, send)
        finally:
            gateway.quotas.leave(token)


def _logged(call: Call, model: str, ms: float) -> Answered:
    cells = {} if call.table is None else {**call.table.key, **call.table.columns}
    version, outputs = (None, {}) if call.predicted is None else (call.predicted.version, call.predicted.outputs)
    return Answered(call.request_id, datetime.now(UTC), model, version, call.status, ms, call.rows, cells, outputs)


def _header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key == name), None)


def _counts(predicted: Predicted | None) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, Any]] = {}
    for _, name, kind in predicted.warnings if predicted is not None else ():
        kinds = counts.setdefault(name, {})
        kinds[kind] = kinds.get(kind, 0) + 1
    return counts
