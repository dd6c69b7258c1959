"""The Open Inference Protocol over gRPC, beside the HTTP server of the gateway and with the same rules."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version as release_of
from typing import Any
from uuid import uuid4

import grpc

from pipelines.gateway.calls import Call
from pipelines.gateway.core import Gateway
from pipelines.gateway.errors import RequestError
from pipelines.gateway.middleware import STICKY, request_span
from pipelines.gateway.protocols import open_inference as protocol
from pipelines.gateway.protocols.grpc_messages import CONTENTS, METHODS, SERVICE, classes
from pipelines.gateway.request_body import MAX_BYTES
from pipelines.gateway.tables import table_of_columns

STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
GRACE_SECONDS = 10.0

log = logging.getLogger(__name__)

Handler = Callable[[Any, Any], Awaitable[Any]]


class Servicer:
    """Implements the six methods of the protocol."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.messages = classes()

    async def server_live(self, _request: Any, _context: Any) -> Any:
        """Tell that the process responds."""
        return self.messages["ServerLiveResponse"](live=True)

    async def server_ready(self, _request: Any, _context: Any) -> Any:
        """Tell whether the ledger was read lately."""
        return self.messages["ServerReadyResponse"](ready=self.gateway.router.fresh())

    async def model_ready(self, request: Any, _context: Any) -> Any:
        """Tell whether a model, or one version of it, is served."""
        ready = [str(version) for version in self.gateway.router.snapshot.ready(request.name)]
        known = bool(ready) if not request.version else request.version in ready
        return self.messages["ModelReadyResponse"](ready=known)

    async def server_metadata(self, _request: Any, _context: Any) -> Any:
        """Name the server."""
        return self.messages["ServerMetadataResponse"](name="aimass", version=release_of("aimass"))

    async def model_metadata(self, request: Any, context: Any) -> Any:
        """Name inputs and outputs of a model."""

        async def respond(call: Call) -> Any:
            _, shape = await self.gateway.service(request.name, _number(request.version))
            ready = sorted(self.gateway.router.snapshot.ready(request.name))
            return self.messages["ModelMetadataResponse"](**protocol.metadata(request.name, ready, shape))

        return await self._guarded(request.name, "ModelMetadata", context, respond)

    async def model_infer(self, request: Any, context: Any) -> Any:
        """Predict; the response has raw contents, which every client reads."""

        async def respond(call: Call) -> Any:
            columns = _columns(request)
            predicted = await self.gateway.predict(
                call, request.model_name, _number(request.model_version), lambda s: table_of_columns(columns, s)
            )
            tensors = protocol.tensors(predicted.outputs)
            names = [each.name for each in request.outputs] or list(tensors)
            response = self.messages["ModelInferResponse"](
                model_name=request.model_name, model_version=str(predicted.version), id=request.id or call.request_id
            )
            for name in names:
                if name not in tensors:
                    raise RequestError(400, "there is no such output", seen=name, expected=", ".join(tensors))
                datatype, shape, cells = tensors[name]
                response.outputs.add(name=name, datatype=datatype, shape=shape)
                response.raw_output_contents.append(protocol.bytes_of(datatype, cells))
            return response

        return await self._guarded(request.model_name, "ModelInfer", context, respond)

    async def _guarded(self, model: str, method: str, context: Any, respond: Callable[[Call], Awaitable[Any]]) -> Any:
        """Check token, scope and limits, respond, and record what came of it."""
        gateway = self.gateway
        call = Call(uuid4().hex, time.perf_counter(), model=model)
        sent = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        call.sticky = sent.get(STICKY.decode(), "")
        gateway.in_flight += 1
        try:
            with self._span(call, method, sent.get("traceparent", "")):
                response, refusal = await self._attempt(call, method, sent.get("authorization"), respond)
        finally:
            gateway.in_flight -= 1
            gateway.record(call, f"GRPC {method}")
        if refusal is not None:
            await context.abort(*refusal)
        return response

    def _span(self, call: Call, method: str, parent: str) -> AbstractContextManager[None]:
        if self.gateway.tracing is None:
            return nullcontext()
        return request_span(self.gateway.tracing, call, f"GRPC {method}", parent, f"/{SERVICE}/{method}")

    async def _attempt(
        self, call: Call, method: str, header: str | None, respond: Callable[[Call], Awaitable[Any]]
    ) -> tuple[Any, tuple[grpc.StatusCode, str] | None]:
        """Return the response, or the status and text that refuse the request."""
        gateway = self.gateway
        try:
            token = await gateway.tokens.require(header, "predict", call.model)
            call.token, call.scopes, call.metered = token.name, tuple(token.scopes), method == "ModelInfer"
            await gateway.quotas.enter(token)
            try:
                response = await respond(call)
                call.status = 200
                return response, None
            finally:
                gateway.quotas.leave(token)
        except RequestError as error:
            call.status, call.error = error.status, error.error["what"]
            return None, (STATUS.get(error.status, grpc.StatusCode.INTERNAL), error.line())
        except Exception as error:
            log.exception("a request failed")
            call.error = type(error).__name__
            return None, (grpc.StatusCode.INTERNAL, f"the gateway failed: {call.error}")


async def start(gateway: Gateway, address: str) -> Any:
    """Start the server at ``HOST:PORT``; return it, to be stopped with ``await server.stop(GRACE_SECONDS)``."""
    servicer = Servicer(gateway)
    messages = classes()
    handlers: dict[str, Handler] = {
        "ServerLive": servicer.server_live,
        "ServerReady": servicer.server_ready,
        "ModelReady": servicer.model_ready,
        "ServerMetadata": servicer.server_metadata,
        "ModelMetadata": servicer.model_metadata,
        "ModelInfer": servicer.model_infer,
    }
    assert tuple(handlers) == METHODS
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", MAX_BYTES),
            ("grpc.max_metadata_size", 16 << 10),
            ("grpc.so_reuseport", 0),
            ("grpc.max_concurrent_streams", 256),
        ]
    )
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            handler,
            request_deserializer=messages[f"{name}Request"].FromString,
            response_serializer=messages[f"{name}Response"].SerializeToString,
        )
        for name, handler in handlers.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    server.add_insecure_port(address)
    await server.start()
    return server


def _number(version: str) -> int | None:
    if not version:
        return None
    if not version.isascii() or not version.isdigit() or len(version) > 9:
        raise RequestError(404, "this version is not served", seen=version[:40])
    return int(version)


def _columns(request: Any) -> dict[str, list[Any]]:
    """Return the cells of an infer request by column, from raw or from typed contents.

    Raises
    ------
    RequestError
        400 for what does not fit.
    """
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise RequestError(400, "raw contents are not those of all inputs", seen=len(raw), expected=len(request.inputs))
    columns: dict[str, list[Any]] = {}
    for index, tensor in enumerate(request.inputs):
        name, count = tensor.name, protocol.count_of(list(tensor.shape), tensor.name)
        if not name or name in columns:
            raise RequestError(400, "an input has no name of its own", seen=name, expected="the name of a column")
        if raw:
            columns[name] = protocol.cells_of(raw[index], tensor.datatype, count, name)
            continue
        member = CONTENTS.get(tensor.datatype)
        cells = [] if member is None else list(getattr(tensor.contents, member))
        if len(cells) != count:
            raise RequestError(400, "an input's contents do not fit its shape", where=name[:80], seen=len(cells))
        columns[name] = protocol.plain_cells(cells, tensor.datatype, name)
    return columns
