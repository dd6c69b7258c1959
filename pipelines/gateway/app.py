"""The gateway's application: tokens, limits, routing, metering and the prediction log in front of every bento."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.gateway.auth import TokenCheck
from pipelines.gateway.errors import RequestError
from pipelines.gateway.metrics import Metrics
from pipelines.gateway.prediction_log import Answered, PredictionLog
from pipelines.gateway.proxy import ServiceResponse, ask, make_session
from pipelines.gateway.request_body import parse_instances, read_body
from pipelines.gateway.routing import Router
from pipelines.ledger import Ledger
from pipelines.settings import Settings

MAX_IN_FLIGHT = 256
UNKNOWN = "(unknown)"


class Gateway:
    """What the request handlers share; one per process."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self.tokens = TokenCheck(ledger)
        self.router = Router(ledger)
        self.metrics = Metrics()
        self.log = PredictionLog(settings.storage / "predictions")
        self.metrics.watch("aimass_log_dropped_rows", "Rows the prediction log lost", lambda: self.log.dropped)
        self.session: aiohttp.ClientSession | None = None
        self.in_flight = 0

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Open the client pool, keep the routes fresh, and at the end write the log out."""
        self.log.start()
        refresher = asyncio.create_task(self.router.keep_fresh())
        try:
            async with make_session() as self.session:
                yield
        finally:
            refresher.cancel()
            with suppress(asyncio.CancelledError):
                await refresher
            await asyncio.to_thread(self.log.close)
            self.ledger.close()

    async def predict(self, request: Request) -> Response:
        """``POST /v1/models/NAME:predict``."""
        started = time.perf_counter()
        request_id, name = uuid4().hex, request.path_params["name"]
        instances: list[dict[str, Any]] = []
        answer = ServiceResponse([])
        version: int | None = None
        self.in_flight += 1
        self.metrics.in_flight.set(self.in_flight)
        try:
            instances, answer, version = await self._answer(request, name)
            content = {"predictions": answer.predictions, "model_version": version, "request_id": request_id}
            response: Response = Response(
                json.dumps({**content, **({"warnings": answer.warnings} if answer.warnings else {})}, allow_nan=False),
                media_type="application/json",
                headers={"x-request-id": request_id},
            )
        except RequestError as fault:
            response = fault.response(request_id)
        finally:
            self.in_flight -= 1
            self.metrics.in_flight.set(self.in_flight)
        seconds = time.perf_counter() - started
        model = name if name in self.router.snapshot.models() else UNKNOWN
        self.metrics.observe(model, response.status_code, seconds, len(instances), answer.warnings)
        if model != UNKNOWN and response.status_code != 401:
            self.log.add(
                Answered(
                    request_id,
                    datetime.now(UTC),
                    model,
                    version,
                    response.status_code,
                    seconds * 1000,
                    instances,
                    answer.predictions,
                )
            )
        return response

    async def _answer(self, request: Request, name: str) -> tuple[list[dict[str, Any]], ServiceResponse, int]:
        if self.in_flight > MAX_IN_FLIGHT:
            raise RequestError(503, "too many requests at once", cure="try again", headers={"Retry-After": "1"})
        await self.tokens.require(request.headers.get("authorization"), name)
        if name not in self.router.snapshot.models():
            await self.router.refresh(since=self.router.snapshot.taken)
            if name not in self.router.snapshot.models():
                raise RequestError(404, "no such model", where=name[:80], cure="`aimass models` lists those there are")
        body = await read_body(request)
        instances = parse_instances(body)
        assert self.session is not None  # the server runs no request before the lifespan began
        answer, version = await ask(self.session, self.router, self.settings.host, name, body)
        return instances, answer, version

    async def healthz(self, _request: Request) -> Response:
        """Tell that the process answers."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Tell whether every live model, or the one named, has a service that is ready; 503 if not."""
        snapshot = self.router.snapshot
        name = request.path_params.get("name")
        models = {
            model: {
                "live_version": snapshot.live.get(model),
                "ready_versions": [target.version for target in snapshot.targets(model)],
                "ready": bool(snapshot.targets(model)),
            }
            for model in snapshot.models()
            if name in (None, model)
        }
        if name is not None and not models:
            raise HTTPException(404)
        waiting = [model for model, state in models.items() if state["live_version"] is not None and not state["ready"]]
        ready = self.router.fresh() and not waiting
        return JSONResponse(
            {"ready": ready, "ledger": self.router.fresh(), "models": models}, status_code=200 if ready else 503
        )

    async def exposition(self, _request: Request) -> Response:
        """``GET /metrics``."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def http_fault(_request: Request, error: Exception) -> Response:
    """ServiceResponse unknown paths and methods in the one shape of errors."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = {404: "no such address", 405: "method not allowed here"}.get(status, "the gateway failed")
    expected = "POST /v1/models/NAME:predict" if status in (404, 405) else ""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return RequestError(status, what, expected=expected, headers=headers).response(uuid4().hex)


def create_app(settings: Settings, ledger: Ledger | None = None) -> Starlette:
    """Make the application; it serves nothing until a server runs it."""
    gateway = Gateway(settings, ledger or Ledger.open(settings))
    app = Starlette(
        routes=[
            Route("/v1/models/{name}:predict", gateway.predict, methods=["POST"]),
            Route("/healthz", gateway.healthz),
            Route("/readyz", gateway.readyz),
            Route("/readyz/{name}", gateway.readyz),
            Route("/metrics", gateway.exposition),
        ],
        exception_handlers={HTTPException: http_fault, Exception: http_fault},
        lifespan=gateway.lifespan,
    )
    app.state.gateway = gateway
    return app
