"""Reading a request body: limited while it streams, of a known type, not compressed."""

from __future__ import annotations

import asyncio
from collections.abc import Container

from starlette.requests import ClientDisconnect, Request

from pipelines.gateway.errors import RequestError

MAX_BYTES = 1 << 20
READ_SECONDS = 15.0
JSON = ("application/json",)


async def read_body(request: Request, types: Container[str] = JSON, limit: int = MAX_BYTES) -> bytes:
    """Return the whole body.

    Raises
    ------
    RequestError
        415 for a compressed body or another content type, 413 over the limit, 408 if it does not arrive in time.
    """
    headers = request.headers
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise RequestError(
            415, "the body is compressed", where="content-encoding", seen=encoding, expected="a body as it is"
        )
    kind = content_type(request)
    if kind not in types:
        expected = ", ".join(name or "none" for name in types) if isinstance(types, tuple) else ""
        raise RequestError(
            415, "the body is of another type", where="content-type", seen=kind or "none", expected=expected
        )
    too_large = RequestError(
        413, "the body is too large", expected=f"at most {limit} bytes", cure="send fewer rows per request"
    )
    declared = headers.get("content-length", "0")
    if not declared.isdecimal() or len(declared) > 12 or int(declared) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise RequestError(408, "the body did not arrive in time", expected=f"within {READ_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise RequestError(400, "the caller went away before the body was complete") from None
    return b"".join(chunks) if len(chunks) != 1 else chunks[0]


def content_type(request: Request) -> str:
    """Return the media type of a request without parameters, in small letters; empty without one."""
    return str(request.headers.get("content-type", "")).split(";")[0].strip().lower()
