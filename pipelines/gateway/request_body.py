"""Reading a request body: limited while it streams, strict JSON, rows of plain cells."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from starlette.requests import ClientDisconnect, Request

from pipelines.gateway.errors import RequestError

MAX_BYTES = 1 << 20
MAX_ROWS = 1_000
READ_SECONDS = 15.0


async def read_body(request: Request, limit: int = MAX_BYTES) -> bytes:
    """Return the whole body.

    Raises
    ------
    RequestError
        415 for another content type, 413 over the limit, 408 if it does not arrive in time.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(
            415, "the body is not declared as JSON", where="content-type", seen=kind, expected="application/json"
        )
    too_large = RequestError(
        413, "the body is too large", expected=f"at most {limit} bytes", cure="send fewer rows per request"
    )
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise RequestError(408, "the body did not arrive in time", expected=f"within {READ_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise RequestError(400, "the caller went away before the body was complete") from None
    return bytes(body)


def parse_instances(body: bytes) -> list[dict[str, Any]]:
    """Return the rows of ``{"instances": [{column: value}, …]}``.

    A value that the model does not need may be anything; lists and objects in a column that it needs are read as in
    training, or are unreadable.

    Raises
    ------
    RequestError
        400 for anything else: other encodings than UTF-8, NaN, infinities, numbers too large, duplicate keys, other
        members, no rows or too many; a fault names the place.
    """
    try:
        content = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
        )
        if b"\\ud" in body.lower():  # escaped surrogates may stand alone, which is text to no one
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeError:
        raise RequestError(400, "the body is not valid UTF-8 text", expected="UTF-8, no lone surrogates") from None
    except RecursionError:
        raise RequestError(400, "the body is nested too deeply", expected="rows of plain cells") from None
    except ValueError as error:
        raise RequestError(400, "the body is not valid JSON", seen=error, expected="one JSON object") from None
    if not isinstance(content, dict) or content.keys() != {"instances"}:
        seen = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise RequestError(400, "the body has the wrong shape", seen=seen, expected='{"instances": [{column: value}]}')
    rows = content["instances"]
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        seen = f"{len(rows)} rows" if isinstance(rows, list) else type(rows).__name__
        raise RequestError(
            400, "wrong number of rows", where="instances", seen=seen, expected=f"a list of 1 to {MAX_ROWS} rows"
        )
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RequestError(
                400,
                "a row is not an object",
                where=f"instances[{place}]",
                seen=type(row).__name__,
                expected="{column: value}",
            )
    return rows


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})[:5]
        raise ValueError(f"a key stands twice: {', '.join(twice)}")
    return made


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number
