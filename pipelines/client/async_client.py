"""The client for ``async`` code."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar

import httpx

from pipelines.client.calls import Call, Limits, Outcome, Wait, exchange
from pipelines.client.core import BaseClient, PartPredictions, merged
from pipelines.client.errors import UnavailableError
from pipelines.client.results import Explanation, Metadata, Model, Predictions
from pipelines.client.tables import Rows

T = TypeVar("T")


class AsyncClient(BaseClient):
    """:class:`~pipelines.client.sync_client.Client` for ``async`` code: the same methods, awaited.

    Parameters
    ----------
    url, token, concurrency, attempts, timeout, deadline, verify
        As of :class:`~pipelines.client.core.BaseClient`.

    Examples
    --------
    >>> async def ask():
    ...     async with AsyncClient("http://127.0.0.1:8000") as client:
    ...         return (await client.predict("churn", [{"tenure": 5, "plan": "monthly"}])).values
    >>> asyncio.run(ask())  # doctest: +SKIP
    ['yes']
    """

    _http: httpx.AsyncClient

    def _open(self) -> None:
        self._http = httpx.AsyncClient(**self._options())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def predict(
        self,
        model: str,
        rows: Rows,
        version: int | None = None,
        label: str | None = None,
        sticky_key: str | None = None,
    ) -> Predictions:
        """Predict rows, as :meth:`Client.predict <pipelines.client.sync_client.Client.predict>` does."""
        calls = self._predictions(model, rows, version, label, sticky_key)
        return merged(await self._run_all(calls, self._limits()))

    async def explain(self, model: str, row: Mapping[str, Any], version: int | None = None) -> Explanation:
        """Explain the prediction of one row; the token needs the scope ``explain``."""
        return await self._run(self._explanation(model, row, version), self._limits())

    async def models(self, search: str | None = None, ready: bool | None = None) -> list[Model]:
        """Return the models: those whose name holds a text, those that are ready (or are not)."""
        return await self._run(self._models(search, ready), self._limits())

    async def metadata(self, model: str, version: int | None = None) -> Metadata:
        """Return what a model is asked with: columns, an example, a call that can be copied."""
        return await self._run(self._metadata(model, version), self._limits())

    async def ready(self, model: str | None = None) -> bool:
        """Tell whether a model is ready, or all that are live; False too if the gateway does not respond."""
        try:
            return await self._run(self._ready(model), self._limits())
        except UnavailableError:
            return False

    async def _run(self, call: Call[T], limits: Limits) -> T:
        steps = exchange(call, limits)
        outcome: Outcome = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Wait):
                    outcome = None
                    await asyncio.sleep(step.seconds)
                else:
                    outcome = await self._send(call, step.timeout)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _send(self, call: Call[Any], timeout: float) -> Outcome:
        try:
            return await self._http.request(
                call.method, call.path, content=call.content or None, headers=call.headers, timeout=timeout
            )
        except httpx.TransportError as error:
            return error

    async def _run_all(self, calls: Iterator[Call[PartPredictions]], limits: Limits) -> list[PartPredictions]:
        """Return the results of calls in their order; the first failure ends them all."""
        found: list[PartPredictions] = []
        waiting: deque[asyncio.Task[PartPredictions]] = deque()
        try:
            for call in calls:
                waiting.append(asyncio.create_task(self._run(call, limits)))
                if len(waiting) > self._concurrency:
                    found.append(await _first(waiting))
            while waiting:
                found.append(await _first(waiting))
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return found


async def _first(waiting: deque[asyncio.Task[T]]) -> T:
    """Take the first result once it is there; the first failure of any is raised at once."""
    while True:
        for each in waiting:
            if each.done():
                each.result()
        if waiting[0].done():
            return waiting.popleft().result()
        await asyncio.wait([each for each in waiting if not each.done()], return_when=asyncio.FIRST_COMPLETED)
