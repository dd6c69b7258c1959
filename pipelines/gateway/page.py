"""The page for people at ``/``: static files that hold no data, and so need no token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).with_name("page")
INDEX = "index.html"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Nothing from elsewhere, no markup that runs, never framed, and asked for again once a gateway is a newer one."""


def routes() -> list[Route]:
    """Return a route for each file, ``/`` for the page itself."""
    return [
        Route("/" if path.name == INDEX else f"/{path.name}", _sender(path.read_bytes(), TYPES[path.suffix]))
        for path in sorted(FOLDER.iterdir())
        if path.suffix in TYPES
    ]


def _sender(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return send
