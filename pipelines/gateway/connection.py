"""One connection of the gateway to a service, with many calls under way."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any, cast

from pipelines.errors import DeployError
from pipelines.gateway.errors import RequestError
from pipelines.inference.service.frames import CLOSING, FrameError, FrameReader, frame
from pipelines.inference.service.tls import SCHEME, Certificates, client_context, split

INT64 = 1 << 63
CONNECT_SECONDS = 1.0
"""How long another host may take to accept a connection; one that was cut off never does."""

log = logging.getLogger(__name__)


class LostError(ConnectionError):
    """The service is gone, or the connection to it."""


class RefusedError(Exception):
    """The service responded with an error."""

    def __init__(self, kind: str, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("what", "")))
        self.kind, self.error = kind, error


class Connection(asyncio.Protocol):
    """One connection to a service; many calls may be under way at once."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport, self.usable = cast(asyncio.Transport, transport), True

    def data_received(self, data: bytes) -> None:
        """Hand each response to whoever waits for it."""
        try:
            messages = self._reader.feed(data)
        except FrameError as error:
            log.warning("a service sends what is no message: %s", error)
            self.close()
            return
        for number, status, payload in messages:
            if number == 0:
                if status == CLOSING:
                    self.close_when_done()
            elif (call := self._calls.pop(number, None)) is not None and not call.done():
                if status == "ok":
                    call.set_result(payload)
                else:
                    call.set_exception(RefusedError(status, payload))
        if not self.usable and not self._calls:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way."""
        self.usable, self._transport = False, None
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.done():
                call.set_exception(LostError("the service closed the connection"))

    def call(self, operation: str, payload: Any) -> asyncio.Future[Any]:
        """Send a request; the future holds its response.

        Raises
        ------
        LostError
            If the connection is gone.
        """
        if self._transport is None or self._transport.is_closing():
            self.usable = False
            raise LostError("no connection")
        self._last += 1
        try:
            data = frame([self._last, operation, payload])
        except OverflowError:  # integers beyond 64 bits travel as text, which is read as the same value
            data = frame([self._last, operation, fitting(payload)])
        call: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[self._last] = call
        self._transport.write(data)
        return call

    def close_when_done(self) -> None:
        """Take no more calls, and hang up once those under way have their responses."""
        self.usable = False
        if not self._calls:
            self.close()

    def close(self) -> None:
        """Hang up."""
        self.usable = False
        if self._transport is not None:
            self._transport.close()


async def connect(address: str, certificates: Certificates | None = None) -> Connection:
    """Connect to a service at ``unix:PATH`` or, showing a certificate, at ``tls:HOST:PORT``.

    Raises
    ------
    OSError
        If nobody listens there; TimeoutError, one of them, if the host does not respond at all.
    """
    loop = asyncio.get_running_loop()
    if not address.startswith(SCHEME):
        _, connection = await loop.create_unix_connection(Connection, address.removeprefix("unix:"))
        return connection
    try:
        context, (host, port) = client_context(address, certificates), split(address)
        async with asyncio.timeout(CONNECT_SECONDS):
            _, connection = await loop.create_connection(Connection, host, port, ssl=context, server_hostname=host)
    except (DeployError, ssl.SSLError) as error:
        log.warning("%s cannot be called: %s", address, error)
        raise ConnectionError(str(error)) from None
    return connection


def refusal(error: RefusedError) -> RequestError:
    """Return what a caller is told of a service's error."""
    facts = error.error
    if error.kind == "refused":
        return RequestError(
            400,
            str(facts.get("what", "refused")),
            where=str(facts.get("where", "")),
            seen=facts.get("seen", ""),
            expected=facts.get("expected", ""),
            cure=str(facts.get("cure", "")),
            faults=[str(line) for line in facts.get("faults", ())],
        )
    return RequestError(502, "the model failed", seen=facts.get("what", ""), cure="see the log of its service")


def fitting(value: Any) -> Any:
    """Return a value with each integer beyond 64 bits as its digits.

    >>> fitting({"a": [10**20, 1, True]})
    {'a': ['100000000000000000000', 1, True]}
    """
    if isinstance(value, dict):
        return {name: fitting(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [fitting(each) for each in value]
    return str(value) if isinstance(value, int) and not -INT64 <= value < 2 * INT64 else value
