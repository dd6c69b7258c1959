"""The gateway's application: every address that callers know, and what lies behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.gateway import page, predict_routes
from pipelines.gateway.auth import TokenCheck, TokenStore
from pipelines.gateway.errors import RequestError
from pipelines.gateway.metrics import Metrics
from pipelines.gateway.middleware import Authorized, Observed, call_of
from pipelines.gateway.prediction_log import PredictionLog
from pipelines.gateway.quotas import Quotas, Usage, UsageStore
from pipelines.gateway.routing import Router, ServingStore
from pipelines.settings import Settings


class Store(ServingStore, TokenStore, UsageStore, Protocol):
    """The part of the ledger that a gateway needs."""

    def close(self) -> None:
        """Return the connections back."""


class Gateway:
    """What the request handlers share; one per process."""

    def __init__(self, settings: Settings, ledger: Store, logs: bool) -> None:
        self.settings = settings
        self.ledger = ledger
        self.tokens = TokenCheck(ledger)
        self.router = Router(ledger)
        self.usage = Usage(ledger)
        self.quotas = Quotas(self.usage, settings.rate_store)
        self.metrics = Metrics()
        self.log = PredictionLog(settings.storage / "predictions") if logs else None
        self.in_flight = 0
        self.metrics.watch("aimass_log_dropped_rows", "Rows the prediction log lost", self._dropped)
        self.metrics.watch("aimass_in_flight", "Requests being answered", lambda: self.in_flight)

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Keep routes and usage up to date; at the end write out what is held."""
        if self.log is not None:
            self.log.start()
        with suppress(Exception):  # a ledger that is away for now is told by /readyz
            await self.router.refresh()
        tasks = [asyncio.create_task(self.router.keep_fresh()), asyncio.create_task(self.usage.keep_written())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.router.close()
            await asyncio.to_thread(self.usage.flush)
            if self.log is not None:
                await asyncio.to_thread(self.log.close)
            self.ledger.close()

    def _dropped(self) -> float:
        return 0 if self.log is None else self.log.dropped

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
                "ready_versions": snapshot.ready(model),
                "ready": bool(snapshot.ready(model)),
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


class _ModelName(Convertor[str]):
    """A part of an address up to the next slash or colon."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        """Return the name."""
        return value

    def to_string(self, value: str) -> str:
        """Return the part of the address."""
        return value


register_url_convertor("model", _ModelName())


async def _request_fault(request: Request, error: Exception) -> Response:
    """Return an error in the words of the protocol that the caller speaks."""
    assert isinstance(error, RequestError)
    call = call_of(request)
    call.error = error.error["what"]
    return predict_routes.error_response(request.scope["path"], error, call.request_id)


async def _http_fault(request: Request, error: Exception) -> Response:
    """Return unknown addresses, wrong methods and our own failures in the same shape."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = {404: "no such address", 405: "method not allowed here"}.get(status, "the gateway failed")
    expected = "POST /v1/models/NAME:predict" if status in (404, 405) else ""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return await _request_fault(request, RequestError(status, what, expected=expected, headers=headers))


def create_app(settings: Settings, ledger: Store, logs: bool = True) -> Starlette:
    """Make the application; it serves nothing until a server runs it.

    Parameters
    ----------
    ledger
        What is served, who may call; closed with the application.
    logs
        Whether predictions are logged.
    """
    gateway = Gateway(settings, ledger, logs)

    def route(path: str, endpoint: Any, scope: str, method: str = "POST", any_model: bool = False) -> Route:
        guard = Middleware(Authorized, gateway=gateway, scope=scope, any_model=any_model)
        return Route(path, partial(endpoint, gateway), methods=[method], middleware=[guard])

    app = Starlette(
        routes=[
            route("/v1/models/{name:model}:predict", predict_routes.predict, "predict"),
            route("/v1/models/{name:model}/versions/{version:int}:predict", predict_routes.predict, "predict"),
            route("/v1/models/{name:model}/labels/{label}:predict", predict_routes.predict, "predict"),
            route("/v1/models/{name:model}:explain", predict_routes.explain, "explain"),
            route("/v1/models/{name:model}/versions/{version:int}:explain", predict_routes.explain, "explain"),
            route("/v1/models", predict_routes.models, "predict", "GET", any_model=True),
            route("/v1/models/{name:model}", predict_routes.status, "predict", "GET"),
            route("/v1/models/{name:model}/versions/{version:int}", predict_routes.status, "predict", "GET"),
            route("/v1/models/{name:model}/metadata", predict_routes.metadata, "predict", "GET"),
            route("/v1/models/{name:model}/versions/{version:int}/metadata", predict_routes.metadata, "predict", "GET"),
            route("/models/{name:model}/invocations", predict_routes.invocations, "predict"),
            Route("/models/{name:model}/ping", partial(predict_routes.ping, gateway)),
            Route("/models/{name:model}/health", partial(predict_routes.ping, gateway)),
            Route("/v2", partial(predict_routes.v2_server, gateway)),
            Route("/v2/health/live", partial(predict_routes.v2_live, gateway)),
            Route("/v2/health/ready", partial(predict_routes.v2_live, gateway)),
            route("/v2/models/{name:model}", predict_routes.v2_metadata, "predict", "GET"),
            route("/v2/models/{name:model}/versions/{version}", predict_routes.v2_metadata, "predict", "GET"),
            Route("/v2/models/{name:model}/ready", partial(predict_routes.v2_ready, gateway)),
            Route("/v2/models/{name:model}/versions/{version}/ready", partial(predict_routes.v2_ready, gateway)),
            route("/v2/models/{name:model}/infer", predict_routes.v2_infer, "predict"),
            route("/v2/models/{name:model}/versions/{version}/infer", predict_routes.v2_infer, "predict"),
            Route("/healthz", gateway.healthz),
            Route("/readyz", gateway.readyz),
            Route("/readyz/{name:model}", gateway.readyz),
            Route("/metrics", gateway.exposition),
            *page.routes(),
        ],
        middleware=[Middleware(Observed, gateway=gateway, log_all=settings.access_log == "all")],
        exception_handlers={RequestError: _request_fault, HTTPException: _http_fault, Exception: _http_fault},
        lifespan=gateway.lifespan,
    )
    app.state.gateway = gateway
    return app
