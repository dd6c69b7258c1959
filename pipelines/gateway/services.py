"""The versions that the gateway asks: batches of concurrent rows, spread over instances, asked again where one dies."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pipelines.gateway.connection import LostError, RefusedError, refusal
from pipelines.gateway.errors import RequestError, unavailable
from pipelines.gateway.instance import CALL_SECONDS, RETRY_SECONDS, Instance
from pipelines.gateway.tables import Shape, Table
from pipelines.inference.service.tls import Certificates

AWAY_SECONDS = 0.25
"""How long one service is tried before the routes are read again."""
HOLD_SECONDS = 8.0
"""How long a request waits for a service that is being started again."""
BATCH_ROWS = 64
"""Rows of concurrent requests that are asked for in one call."""
UNDER_WAY = 2
"""Calls that one instance is given at once: the next one lies ready when it is done with the first."""
MAX_EXPLAINING = 8
MAX_WAITING = 512
"""Requests that wait for one version; further ones are refused."""

T = TypeVar("T")


class AwayError(Exception):
    """The service cannot be asked now: its process is gone, or the routes have changed. Another may be ready."""


@dataclass(frozen=True)
class Predicted:
    """The response to one table.

    Parameters
    ----------
    version
        That predicted.
    outputs
        By name a list of one value per row; ``probabilities`` is {label: list}.
    warnings
        (row, column, kind) of each doubtful cell.
    """

    version: int
    outputs: dict[str, Any]
    warnings: Sequence[tuple[int, str, str]]


@dataclass
class _Waiting:
    table: Table
    request_id: str
    traceparent: str
    response: asyncio.Future[Predicted]


class Service:
    """One version on one socket, or on several: it may have more than one process.

    A call goes to the instance with the fewest under way, to each in turn where these are equal. If that dies or is
    late, another one is asked, once, at once. Where all hang, requests are refused at once until one responds to a
    ping again. A version whose processes are all gone is waited for, for they are being started again.

    Parameters
    ----------
    address
        Those of all instances, on whatever host, separated by blanks.
    certificates
        What is shown to instances on other hosts.
    """

    def __init__(self, version: int, address: str, certificates: Certificates | None = None) -> None:
        self.version, self.address = version, address
        self._instances = [Instance(f"version {version}", each, certificates) for each in address.split()]
        self._shape: Shape | None = None
        self._waiting: deque[_Waiting] = deque()
        self._under_way = 0
        self._explaining = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def hangs(self) -> bool:
        """Whether all instances hang."""
        return all(each.hangs for each in self._instances)

    async def shape(self) -> Shape:
        """Return what its requests hold."""
        if self._shape is None:
            self._shape = Shape.of(await self.call("describe", None))
        return self._shape

    async def call(self, operation: str, payload: Any, seconds: float = CALL_SECONDS) -> Any:
        """Ask an instance; another one, or once more, if that is lost, for a prediction changes nothing.

        Raises
        ------
        RequestError
            503 if all hang, 504 if it is late.
        AwayError
            If none can be reached.
        RefusedError
            What it responds instead.
        """
        until = time.monotonic() + AWAY_SECONDS
        tried: Instance | None = None
        while not self._closed:
            instance = self._choose(tried)
            other = tried is None and self._another(instance)
            try:
                return await instance.call(operation, payload, seconds, 0.0 if other else until)
            except TimeoutError:
                if not other:
                    raise RequestError(504, "no response in time", cure="send fewer rows, or try again") from None
            except LostError as lost:
                if not other:
                    if time.monotonic() > until:
                        raise AwayError(str(lost)) from None
                    await asyncio.sleep(RETRY_SECONDS)
            tried = instance
        raise AwayError(f"version {self.version} is no longer served")

    def _choose(self, tried: Instance | None) -> Instance:
        """Return the instance to ask: not the one that was tried if there is another, none that hangs."""
        able = [each for each in self._instances if not each.hangs]
        if not able:
            raise unavailable(f"version {self.version} does not respond")
        return min(able, key=lambda each: (each is tried, each.gone, each.under_way, each.asked))

    def _another(self, instance: Instance) -> bool:
        return any(each is not instance and not each.hangs for each in self._instances)

    async def explain(self, row: dict[str, Any]) -> Any:
        """Explain the prediction of a row; a few at a time, so that predictions come through.

        Raises
        ------
        RequestError
            As :meth:`call`; 503 if too many are explained already.
        """
        if self._explaining >= MAX_EXPLAINING:
            raise unavailable("too many rows of this model are being explained")
        self._explaining += 1
        try:
            return await self.call("explain", {"row": row})
        except RefusedError as error:
            raise refusal(error) from None
        finally:
            self._explaining -= 1

    async def predict(self, table: Table, request_id: str = "", traceparent: str = "") -> Predicted:
        """Predict the rows of a table, in one call with those of others that wait.

        Parameters
        ----------
        request_id, traceparent
            By which the service's log and trace name the request.

        Raises
        ------
        RequestError
            As :meth:`call`; 503 if too many wait; 502 if the model fails.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise unavailable("too many requests wait for this model")
        waiting = _Waiting(table, request_id, traceparent, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._start()
        return await waiting.response

    def _start(self) -> None:
        room = UNDER_WAY * max(1, sum(not each.hangs for each in self._instances))
        while self._waiting and self._under_way < room:
            batch = [self._waiting.popleft()]
            rows = batch[0].table.rows
            while self._waiting and rows + self._waiting[0].table.rows <= BATCH_ROWS:
                batch.append(self._waiting.popleft())
                rows += batch[-1].table.rows
            self._under_way += 1
            task = asyncio.create_task(self._ask(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, batch: list[_Waiting]) -> None:
        try:
            answered = await self._predict(batch)
        except Exception as error:  # noqa: BLE001  # whoever waits must be told, whatever it is
            self._under_way -= 1
            if len(batch) > 1 and not isinstance(error, AwayError | RequestError):
                for each in batch:  # one of them may be the cause: each by itself
                    self._under_way += 1
                    await self._ask([each])
            else:
                self._fail(batch, refusal(error) if isinstance(error, RefusedError) else error)
            self._start()
            return
        self._under_way -= 1
        self._start()
        for each, predicted in zip(batch, answered, strict=True):
            if not each.response.done():
                each.response.set_result(predicted)

    async def _predict(self, batch: list[_Waiting]) -> list[Predicted]:
        tables = [each.table for each in batch]
        rows = sum(table.rows for table in tables)
        if len(tables) == 1:
            columns: dict[str, list[Any]] = tables[0].columns
        else:
            columns = {name: [cell for table in tables for cell in table.columns[name]] for name in tables[0].columns}
        seconds = CALL_SECONDS * (1.0 + rows / 1000)
        asked = {"columns": columns, "rows": rows, "requests": [each.request_id for each in batch]}
        if traces := [each.traceparent for each in batch if each.traceparent]:
            asked["traces"] = traces
        found = await self.call("predict", asked, seconds)
        outputs, warnings = found["outputs"], found["warnings"]
        if len(tables) == 1:
            return [Predicted(self.version, outputs, warnings)]
        parts = []
        start = 0
        for table in tables:
            end = start + table.rows
            warned = [(row - start, name, kind) for row, name, kind in warnings if start <= row < end]
            parts.append(Predicted(self.version, _part(outputs, start, end), warned))
            start = end
        return parts

    @staticmethod
    def _fail(batch: list[_Waiting], error: Exception) -> None:
        for each in batch:
            if not each.response.done():
                each.response.set_exception(error)

    def close(self) -> None:
        """Hang up once what is under way is answered."""
        self._closed = True
        for each in self._instances:
            each.close()


async def held(attempt: Callable[[], Awaitable[T]]) -> T:
    """Return what an attempt returns; try again while a service is away, for ``HOLD_SECONDS``.

    Raises
    ------
    RequestError
        503 if none is back by then.
    """
    until = time.monotonic() + HOLD_SECONDS
    while True:
        try:
            return await attempt()
        except AwayError as away:
            if time.monotonic() > until:
                raise unavailable(str(away)) from None
            await asyncio.sleep(RETRY_SECONDS)


def _part(outputs: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    return {
        name: {label: cells[start:end] for label, cells in values.items()}
        if isinstance(values, dict)
        else values[start:end]
        for name, values in outputs.items()
    }
