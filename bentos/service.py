"""The BentoML service around one model directory: JSON in, strict JSON out, nothing parsed before its signature holds.

This file travels inside each bento beside ``model/``, ``public_key`` and ``pipelines/inference``; nothing else of
the project does. Lists of rows come in, lists of predictions go out; one service, no other input kind.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Annotated, Any

import bentoml
from annotated_types import MaxLen, MinLen
from starlette.responses import JSONResponse, Response

HERE = Path(__file__).resolve().parent
MAX_ROWS = 1_000
MAX_BYTES = 4 << 20
PATHS = frozenset({"/predict", "/livez", "/readyz", "/healthz"})
INLINE_ROWS = 16
"""Requests of at most this many rows are served on the event loop; larger ones in a thread."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class TooLargeError(Exception):
    """The body passed the limit while it was read."""


class Guard:
    """Returns 404 for every path but prediction and health, and 413 for a body over the limit while it streams in."""

    def __init__(self, app: Any, limit: int = MAX_BYTES) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass the request on, or respond to it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] not in PATHS:
            await _fault(404, "no such path", expected=sorted(PATHS))(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        chunks: list[bytes] = []
        size = int(declared) if declared.isdigit() else self.limit + 1
        more = size <= self.limit
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            chunks.append(message.get("body", b""))
            size = sum(map(len, chunks))
            more = bool(message.get("more_body")) and size <= self.limit
        if size > self.limit:
            await _fault(413, "the body is too large", expected=f"at most {self.limit} bytes")(scope, receive, send)
            return
        body: list[Message] = [{"type": "http.request", "body": b"".join(chunks), "more_body": False}]

        async def replay() -> Message:
            return body.pop() if body else await receive()

        await self.app(scope, replay, send)


@bentoml.service(
    name="aimass_model",
    workers=1,
    threads=1,
    traffic={"timeout": 60},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    http={"host": "127.0.0.1"},
)
class ModelService:
    """Serves the model directory that lies beside this file."""

    def __init__(self) -> None:
        from pipelines.inference.model_directory import ModelDirectory

        self.predictor = ModelDirectory.open(HERE / "model", trusted_key()).predictor
        self.predictor.warm()
        self.turn = asyncio.Lock()

    @bentoml.api
    async def predict(self, instances: Annotated[list[dict[str, Any]], MinLen(1), MaxLen(MAX_ROWS)]) -> dict[str, Any]:
        """Predict each row: ``{"predictions": [{"prediction": …}, …]}`` in the order of ``instances``.

        ``warnings`` counts, column by column, the cells that are ``unreadable``, ``unseen`` or ``out_of_range``.
        """
        return await respond(self.predictor, self.turn, instances)  # type: ignore[return-value]  # a Response is sent as it is


async def respond(predictor: Any, turn: asyncio.Lock, instances: list[dict[str, Any]]) -> Response:
    """Check the rows, predict, and write strict JSON; bad rows are 400, a prediction that is not finite is 500."""
    from pipelines.errors import DataError, DeployError

    for row, cells in enumerate(instances):
        for column, value in cells.items():
            if isinstance(value, float) and not math.isfinite(value):
                return _fault(400, "a cell is not a finite number", where=f"instances[{row}][{column!r}]")
    try:
        async with turn:
            if len(instances) <= INLINE_ROWS:
                predictions, doubts = predictor.predict_rows_counted(instances)
            else:
                predictions, doubts = await asyncio.to_thread(predictor.predict_rows_counted, instances)
        content = {"predictions": predictions, **({"warnings": doubts} if doubts else {})}
        body = json.dumps(content, allow_nan=False, separators=(",", ":"))
    except DataError as error:
        return JSONResponse({"error": error.to_dict()}, status_code=400)
    except (DeployError, ValueError) as error:
        return _fault(500, "the model cannot predict", seen=error, cure="roll back to the version before")
    return Response(body, media_type="application/json")


def trusted_key() -> bytes:
    """Return the 32 bytes of the public key: the operator's in ``AIMASS_PUBLIC_KEY`` (hex), else the bento's own."""
    given = os.environ.get("AIMASS_PUBLIC_KEY")
    return bytes.fromhex(given) if given else (HERE / "public_key").read_bytes()


def _fault(
    status: int, what: str, where: object = "", seen: object = "", expected: object = "", cure: str = ""
) -> JSONResponse:
    fields = {"what": what, "where": where, "seen": seen, "expected": expected, "cure": cure}
    return JSONResponse({"error": {name: str(text) for name, text in fields.items()}}, status_code=status)


ModelService.add_asgi_middleware(Guard, limit=MAX_BYTES)
