"""The addresses that predict, explain and describe, in the protocols that callers speak."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version as release_of
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipelines.gateway.auth import allows
from pipelines.gateway.calls import call_of
from pipelines.gateway.catalog_routes import described_models
from pipelines.gateway.errors import RequestError
from pipelines.gateway.json_body import parse_json
from pipelines.gateway.openapi import document
from pipelines.gateway.protocols import mlflow, native, open_inference
from pipelines.gateway.request_body import content_type, read_body
from pipelines.gateway.services import Predicted, Service
from pipelines.gateway.tables import Shape, Table, table_of_columns, table_of_rows

if TYPE_CHECKING:
    from pipelines.gateway.core import Gateway

JSON = "application/json"
_encode = msgspec.json.Encoder().encode


async def predict(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/models/NAME[/versions/N | /labels/LABEL]:predict``."""
    await gateway.router.known(request.path_params["name"])
    content = parse_json(await read_body(request))
    predicted = await _predict(gateway, request, lambda shape: native.read(content, shape))
    return Response(native.write(predicted, native.form_of(content), call_of(request).request_id), media_type=JSON)


async def explain(gateway: Gateway, request: Request) -> Response:
    """``POST /v1/models/NAME[/versions/N]:explain`` with ``{"instances": [{column: value}]}``, one row."""
    name = request.path_params["name"]
    await gateway.router.known(name)
    content = parse_json(await read_body(request))
    if not isinstance(content, dict) or content.keys() != {"instances"}:
        raise RequestError(400, "the body has the wrong shape", expected='{"instances": [{column: value}]}')

    def read(shape: Shape) -> dict[str, Any]:
        table = table_of_rows(content["instances"], shape)
        if table.rows != 1:
            raise RequestError(400, "one row is explained at a time", where="instances", seen=table.rows, expected=1)
        return {name: cells[0] for name, cells in table.columns.items()}

    explained, version = await gateway.explain(name, await _version(gateway, request), read)
    facts = {"explanation": explained, "model_version": version, "request_id": call_of(request).request_id}
    return Response(_encode(facts), media_type=JSON)


async def models(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/models?search=TEXT&ready=true``: the models that the token is for, and what is served of them."""
    wanted, ready = request.query_params.get("search", "").lower(), request.query_params.get("ready")
    if ready not in (None, "true", "false"):
        raise RequestError(400, "the filter is neither true nor false", where="ready", seen=ready)
    snapshot, scopes = gateway.router.snapshot, call_of(request).scopes
    found = [
        {
            "name": name,
            "live_version": snapshot.live.get(name),
            "served_versions": [target.version for target in snapshot.targets.get(name, ())],
            "ready": bool(snapshot.ready(name)),
        }
        for name in snapshot.models()
        if wanted in name.lower() and allows(scopes, "predict", name)
    ]
    return JSONResponse({"models": [each for each in found if ready is None or each["ready"] == (ready == "true")]})


async def status(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/models/NAME[/versions/N]``: the state of each version, as TensorFlow Serving tells it."""
    name, version = request.path_params["name"], await _version(gateway, request)
    snapshot = await gateway.router.known(name)
    states = [
        {
            "version": str(target.version),
            "state": "AVAILABLE" if target.ready else "LOADING",
            "status": {"error_code": "OK", "error_message": ""},
        }
        for target in snapshot.targets.get(name, ())
        if version in (None, target.version)
    ]
    if version is not None and not states:
        raise RequestError(404, "this version is not served", where=f"{name[:63]} version {version}")
    return JSONResponse({"model_version_status": states})


async def openapi(gateway: Gateway, request: Request) -> Response:
    """``GET /openapi.json``: the addresses and schemas of the models that the token is for."""
    scopes = call_of(request).scopes
    snapshot, shapes = gateway.router.snapshot, {}
    for name in snapshot.models():
        if not snapshot.ready(name) or not allows(scopes, "predict", name):
            continue
        with suppress(RequestError):  # one that cannot be asked now is left out
            _, shapes[name] = await gateway.service(name, None)
    described = await described_models(gateway, scopes)
    return Response(_encode(document(shapes, str(request.base_url).rstrip("/"), described, scopes)), media_type=JSON)


async def metadata(gateway: Gateway, request: Request) -> Response:
    """``GET /v1/models/NAME[/versions/N]/metadata``: columns, example and a call that can be copied."""
    service, shape = await _service(gateway, request)
    name, facts = request.path_params["name"], shape.facts
    address = f"{gateway.settings.gateway_url}/v1/models/{name}:predict"
    body = _encode({"instances": [facts["example"]]}).decode()
    quoted = body.replace("'", "'\\''")
    sample = f"curl -s {address} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' -d '{quoted}'"
    content = {**facts, "version": service.version, "address": address, "curl": sample}
    return Response(_encode(content), media_type=JSON)


async def invocations(gateway: Gateway, request: Request) -> Response:
    """``POST /models/NAME/invocations``, as ``mlflow models serve`` and SageMaker have it."""
    await gateway.router.known(request.path_params["name"])
    content = mlflow.parse(await read_body(request, mlflow.TYPES), content_type(request))
    predicted = await _predict(gateway, request, lambda shape: mlflow.read(content, shape))
    return Response(mlflow.write(predicted), media_type=JSON)


async def ping(gateway: Gateway, request: Request) -> Response:
    """``GET /models/NAME/ping``: 200 if the model is served."""
    return Response("\n", status_code=200 if gateway.router.snapshot.ready(request.path_params["name"]) else 404)


async def v2_server(_gateway: Gateway, _request: Request) -> Response:
    """``GET /v2``."""
    return JSONResponse({"name": "aimass", "version": release_of("aimass"), "extensions": ["binary_tensor_data"]})


async def v2_live(gateway: Gateway, _request: Request) -> Response:
    """``GET /v2/health/live`` and ``/v2/health/ready``."""
    return JSONResponse({"live": True, "ready": gateway.router.fresh()})


async def v2_ready(gateway: Gateway, request: Request) -> Response:
    """``GET /v2/models/NAME[/versions/N]/ready``: the status tells."""
    ready = gateway.router.snapshot.ready(request.path_params["name"])
    version = request.path_params.get("version")
    known = bool(ready) if version is None else version in map(str, ready)
    return JSONResponse({"ready": known}, status_code=200 if known else 400)


async def v2_metadata(gateway: Gateway, request: Request) -> Response:
    """``GET /v2/models/NAME[/versions/N]``."""
    _, shape = await _service(gateway, request)
    name = request.path_params["name"]
    return JSONResponse(open_inference.metadata(name, sorted(gateway.router.snapshot.ready(name)), shape))


async def v2_infer(gateway: Gateway, request: Request) -> Response:
    """``POST /v2/models/NAME[/versions/N]/infer``."""
    name = request.path_params["name"]
    await gateway.router.known(name)
    body = await read_body(request, open_inference.TYPES)
    asked = open_inference.parse(body, request.headers.get(open_inference.HEADER_LENGTH))
    predicted = await _predict(gateway, request, lambda shape: table_of_columns(asked.columns, shape, "inputs"))
    content, head = open_inference.write(asked, predicted, name, call_of(request).request_id)
    if head is None:
        return Response(content, media_type=JSON)
    return Response(content, media_type="application/octet-stream", headers={open_inference.HEADER_LENGTH: str(head)})


def error_response(path: str, error: RequestError, request_id: str) -> Response:
    """Return an error as the protocol of an address has it."""
    if path.startswith("/v2"):
        body = _encode({"error": error.line()})
    elif path.startswith("/models/"):
        body = mlflow.error_body(error)
    else:
        body = _encode({"error": error.error, "request_id": request_id})
    return Response(body, status_code=error.status, headers=error.headers, media_type=JSON)


async def _version(gateway: Gateway, request: Request) -> int | None:
    """Return the version that an address names, by number or label; None: the live one."""
    name, version = request.path_params["name"], request.path_params.get("version")
    if isinstance(version, str):
        if not version.isascii() or not version.isdigit() or len(version) > 9:
            raise HTTPException(404)
        return int(version)
    label = request.path_params.get("label")
    return version if label is None else await gateway.router.labelled(name, label)


async def _service(gateway: Gateway, request: Request) -> tuple[Service, Shape]:
    """Return the service that an address names, and what its requests hold."""
    return await gateway.service(request.path_params["name"], await _version(gateway, request))


async def _predict(gateway: Gateway, request: Request, read: Callable[[Shape], Table]) -> Predicted:
    version = await _version(gateway, request)
    return await gateway.predict(call_of(request), request.path_params["name"], version, read)
