"""The gateway's application: every address that callers know, and what lies behind it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from pipelines.gateway import account_routes, catalog_routes, data_routes, page, predict_routes
from pipelines.gateway.auth import ALL
from pipelines.gateway.calls import call_of
from pipelines.gateway.core import Gateway, Store
from pipelines.gateway.errors import RequestError
from pipelines.gateway.figures import Figures
from pipelines.gateway.middleware import Authorized, Observed, Traced
from pipelines.settings import Settings


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


_ENTRY = "/v1/catalog/models/{name:model}"
CATALOG: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("/v1/catalog/models", (catalog_routes.find, catalog_routes.READ, "GET", True)),
    (_ENTRY, (catalog_routes.entry, catalog_routes.READ, "GET")),
    (_ENTRY, (catalog_routes.change, catalog_routes.WRITE, "PATCH")),
    (f"{_ENTRY}/notes", (catalog_routes.annotate, catalog_routes.WRITE)),
    (f"{_ENTRY}/notes/{{note}}", (catalog_routes.remove_note, catalog_routes.WRITE, "DELETE")),
    (f"{_ENTRY}/rating", (catalog_routes.rate, catalog_routes.WRITE, "PUT")),
    (f"{_ENTRY}/rating", (catalog_routes.withdraw, catalog_routes.WRITE, "DELETE")),
    (f"{_ENTRY}/share", (catalog_routes.share, catalog_routes.WRITE, "GET")),
    (f"{_ENTRY}:archive", (catalog_routes.archive, catalog_routes.WRITE)),
    (f"{_ENTRY}:unarchive", (catalog_routes.unarchive, catalog_routes.WRITE)),
    (f"{_ENTRY}:delete", (catalog_routes.delete, ALL)),
)
"""Addresses of the catalog: handler, scope, method, whether a token of some model is enough."""


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
    if status == 405:  # several routes may share an address, each with its methods
        routes = [each for each in request.app.routes if isinstance(each, Route)]
        there = [each for each in routes if each.matches(request.scope)[0] is not Match.NONE]
        expected = headers["Allow"] = ", ".join(sorted({method for each in there for method in each.methods or ()}))
    return await _request_fault(request, RequestError(status, what, expected=expected, headers=headers))


def create_app(
    settings: Settings,
    ledger: Store,
    logs: bool = True,
    grpc_port: int | None = None,
    figures: Callable[[], bytes] | None = None,
) -> Starlette:
    """Make the application; it serves nothing until a server runs it.

    Parameters
    ----------
    ledger
        What is served, who may call; closed with the application.
    logs
        Whether predictions are logged.
    grpc_port
        Where the gRPC server listens; None: there is none.
    figures
        Reads what ``GET /metrics/platform`` tells of the whole platform; None: there is no such address.
    """
    gateway = Gateway(settings, ledger, logs, grpc_port)

    def route(path: str, endpoint: Any, scope: str, method: str = "POST", any_model: bool = False) -> Route:
        guard = Middleware(Authorized, gateway=gateway, scope=scope, any_model=any_model)
        return Route(path, partial(endpoint, gateway), methods=[method], middleware=[guard])

    app = Starlette(
        routes=[
            route("/v1/models/{name:model}:predict", predict_routes.predict, "predict"),
            route("/v1/models/{name:model}/versions/{version}:predict", predict_routes.predict, "predict"),
            route("/v1/models/{name:model}/labels/{label}:predict", predict_routes.predict, "predict"),
            route("/v1/models/{name:model}:explain", predict_routes.explain, "explain"),
            route("/v1/models/{name:model}/versions/{version}:explain", predict_routes.explain, "explain"),
            route("/v1/models", predict_routes.models, "predict", "GET", any_model=True),
            route("/v1/models/{name:model}", predict_routes.status, "predict", "GET"),
            route("/v1/models/{name:model}/versions/{version}", predict_routes.status, "predict", "GET"),
            route("/v1/models/{name:model}/metadata", predict_routes.metadata, "predict", "GET"),
            route("/v1/models/{name:model}/versions/{version}/metadata", predict_routes.metadata, "predict", "GET"),
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
            route("/v1/feedback", account_routes.feedback, ""),
            route("/v1/usage", account_routes.usage, "", "GET"),
            route("/v1/estimate", account_routes.estimate, ""),
            *(route(path, *how) for path, how in CATALOG),
            route("/v1/data", data_routes.tables, "data", "GET", any_model=True),
            route("/v1/data/{table:model}", data_routes.table, "data", "GET", any_model=True),
            route("/v1/data/{table:model}/download", data_routes.download, "data", "GET", any_model=True),
            route("/openapi.json", predict_routes.openapi, "", "GET"),
            Route("/healthz", gateway.healthz),
            Route("/readyz", gateway.readyz),
            Route("/readyz/{name:model}", gateway.readyz),
            Route("/metrics", gateway.exposition),
            *([] if figures is None else [Route("/metrics/platform", Figures(figures).respond)]),
            *page.routes(),
        ],
        middleware=[
            Middleware(Observed, gateway=gateway),
            *([] if gateway.tracing is None else [Middleware(Traced, tracing=gateway.tracing)]),
        ],
        exception_handlers={RequestError: _request_fault, HTTPException: _http_fault, Exception: _http_fault},
        lifespan=gateway.lifespan,
    )
    app.state.gateway = gateway
    return app
