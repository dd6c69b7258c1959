"""HTTP as uvicorn reads it with httptools, but a connection must send its headers in time, and errors are JSON."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
MAX_HEAD = 64 << 10


class StrictHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose request headers do not arrive within ``HEADER_SECONDS``; ends bad HTTP with JSON."""

    _late: asyncio.TimerHandle | None = None
    _head: int | None = 0
    """Bytes of request line and headers so far; None while a body is read."""

    def data_received(self, data: bytes) -> None:
        """Read on, unless request line and headers are too long."""
        if self._head is not None:
            self._head += len(data)
            if self._head > MAX_HEAD and len(data) < self._head:
                self._refuse(b"431 Request Header Fields Too Large", "request line and headers are too long")
                return
        super().data_received(data)
        if self._head is not None and self._head > MAX_HEAD:
            self._refuse(b"431 Request Header Fields Too Large", "request line and headers are too long")

    def on_message_complete(self) -> None:
        """Expect the head of another request."""
        super().on_message_complete()
        self._head = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEADER_SECONDS, transport.close)

    def on_message_begin(self) -> None:
        """Begin to wait for the headers of a request, the first or a later one of this connection."""
        super().on_message_begin()
        if self._late is None:
            self._late = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """Wait no more: bodies have a time limit of their own."""
        self._on_time()
        self._head = None
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._on_time()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with the one shape of errors."""
        self._refuse(b"400 Bad Request", "this is no HTTP request")

    def _refuse(self, status: bytes, what: str) -> None:
        if self.transport.is_closing():
            return
        error = {"what": what, "where": "", "seen": "", "expected": "HTTP/1.1, 64 KiB of headers", "cure": ""}
        body = msgspec.json.encode({"error": error, "request_id": ""})
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\n" % status
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()

    def _on_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
