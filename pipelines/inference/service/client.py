"""A plain client of a service: for whoever starts, proves or watches it. The gateway has one of its own."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any, Self

from pipelines.errors import DeployError
from pipelines.inference.service.frames import FrameReader, frame
from pipelines.inference.service.tls import SCHEME, Certificates, client_context, split

CHUNK = 1 << 16


class ServiceClient:
    """One connection to a service; use it as a context.

    Parameters
    ----------
    address
        ``unix:PATH`` or ``tls:HOST:PORT``.
    seconds
        Longest wait for a response.
    certificates
        What is shown to a service on a network.

    Raises
    ------
    OSError
        If nobody listens there; TimeoutError if it does not respond in time.
    """

    def __init__(self, address: str, seconds: float = 10.0, certificates: Certificates | None = None) -> None:
        self._reader = FrameReader()
        self._last = 0
        if address.startswith(SCHEME):
            self._socket: socket.socket = _over_tls(address, seconds, certificates)
            return
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(address.removeprefix("unix:"))
        except BaseException:
            self._socket.close()
            raise

    def call(self, operation: str, payload: Any = None) -> Any:
        """Return the response to one request.

        Raises
        ------
        DeployError
            What the service responds instead.
        OSError
            If the connection ends.
        """
        self._last += 1
        self._socket.sendall(frame([self._last, operation, payload]))
        while True:
            data = self._socket.recv(CHUNK)
            if not data:
                raise ConnectionError("the service closed the connection")
            for number, status, payload in self._reader.feed(data):
                if number == self._last:
                    if status == "ok":
                        return payload
                    raise DeployError(
                        str(payload.get("what", "the service failed")),
                        where=str(payload.get("where", "")),
                        seen=payload.get("seen", ""),
                        cure=str(payload.get("cure", "")),
                        faults=[str(fault) for fault in payload.get("faults", ())],
                    )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()


def _over_tls(address: str, seconds: float, certificates: Certificates | None) -> socket.socket:
    context, (host, port) = client_context(address, certificates), split(address)
    plain = socket.create_connection((host, port), timeout=seconds)
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def usage_of(address: str, seconds: float = 2.0, certificates: Certificates | None = None) -> dict[str, Any] | None:
    """Return what a service's process took so far; None if it cannot be asked, or is of a release that cannot tell."""
    try:
        with ServiceClient(address, seconds, certificates) as client:
            found: dict[str, Any] = client.call("usage")
            return found
    except (OSError, DeployError, ValueError):
        return None


def is_ready(address: str, seconds: float = 2.0, certificates: Certificates | None = None) -> bool:
    """Tell whether a service is ready."""
    try:
        with ServiceClient(address, seconds, certificates) as client:
            return bool(client.call("ping")["ready"])
    except (OSError, DeployError, ValueError):
        return False
