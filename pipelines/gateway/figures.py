"""``GET /metrics/platform``: figures that somebody else reads, kept for some seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

KEPT_SECONDS = 10.0
"""How long figures are told again before they are read anew: scraping costs the ledger nothing."""
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Figures:
    """The figures, for all that ask within some seconds.

    Parameters
    ----------
    read
        Returns them in Prometheus' text format; called in a thread.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._text, self._until = b"", 0.0
        self._lock = asyncio.Lock()

    async def respond(self, _request: Request) -> Response:
        """Return the exposition text."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._text = await asyncio.to_thread(self._read)
                self._until = time.monotonic() + KEPT_SECONDS
            return Response(self._text, media_type=MEDIA_TYPE)
