"""One process of a version, as the gateway asks it: one connection, a deadline per call, a breaker if it hangs."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from pipelines.gateway.connection import Connection, LostError, connect
from pipelines.inference.service.tls import Certificates

CALL_SECONDS = 2.0
"""Deadline of one call, and so the time until the breaker opens; each thousand rows have as much again."""
RETRY_SECONDS = 0.05
PING_SECONDS = 0.25

log = logging.getLogger(__name__)


class Instance:
    """A process on a socket.

    A call that is late opens the breaker: it is asked for nothing until it responds to a ping again.
    """

    def __init__(self, name: str, address: str, certificates: Certificates | None = None) -> None:
        self.name, self.address, self.certificates = name, address, certificates
        self.under_way = 0
        self.asked = float("-inf")
        """When it was asked last."""
        self._gone = float("-inf")
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._budget = 0.0
        self._breaker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def hangs(self) -> bool:
        """Whether the breaker is open."""
        return self._breaker is not None

    @property
    def gone(self) -> bool:
        """Whether nobody was there a moment ago."""
        return time.monotonic() - self._gone < PING_SECONDS

    async def call(self, operation: str, payload: Any, seconds: float, until: float) -> Any:
        """Ask it.

        Parameters
        ----------
        until
            Moment until which it is connected to again and again, while nobody is there.

        Raises
        ------
        TimeoutError
            If it is late; the breaker is open then.
        LostError
            If nobody is there, or the connection is lost.
        RefusedError
            What it responds instead.
        """
        self.under_way += 1
        self.asked = time.monotonic()
        try:
            connection = await self._connected(until)
            self._budget += seconds
            try:  # it does one after the other: those ahead may take their time first
                async with asyncio.timeout(self._budget):
                    return await connection.call(operation, payload)
            finally:
                self._budget -= seconds
        except TimeoutError:
            self._open_breaker()
            raise
        except LostError:
            self._gone = time.monotonic()
            raise
        finally:
            self.under_way -= 1

    async def _connected(self, until: float) -> Connection:
        if self._connection is not None and self._connection.usable:
            return self._connection
        async with self._connecting:
            while self._connection is None or not self._connection.usable:
                if self._closed:
                    raise LostError(f"{self.name} is no longer served")
                if self.hangs:
                    raise LostError(f"{self.name} does not respond")
                try:
                    self._connection = await connect(self.address, self.certificates)
                    self._gone = float("-inf")
                except TimeoutError:  # its host is cut off: nobody else shall wait for it, too
                    self._open_breaker()
                    raise LostError(f"the host of {self.name} does not respond") from None
                except OSError:
                    if time.monotonic() >= until or self.hangs:
                        raise LostError(f"{self.name} is not running") from None
                    await asyncio.sleep(RETRY_SECONDS)
        return self._connection

    def _open_breaker(self) -> None:
        if self._breaker is None and not self._closed:
            log.warning("%s at %s does not respond", self.name, self.address)
            self._breaker = asyncio.create_task(self._until_it_responds())

    async def _until_it_responds(self) -> None:
        if self._connection is not None:
            self._connection.close()
        try:
            while not self._closed:
                with suppress(OSError, TimeoutError, LostError):
                    async with asyncio.timeout(CALL_SECONDS):
                        connection = await connect(self.address, self.certificates)
                        try:
                            await connection.call("ping", None)
                        except BaseException:
                            connection.close()
                            raise
                    self._connection = connection
                    log.info("%s at %s responds again", self.name, self.address)
                    return
                await asyncio.sleep(PING_SECONDS)
        finally:
            self._breaker = None

    def close(self) -> None:
        """Hang up once what is under way is answered."""
        self._closed = True
        if self._breaker is not None:
            self._breaker.cancel()
        if self._connection is not None:
            self._connection.close_when_done()
