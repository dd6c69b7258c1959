"""The client for code that waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from typing import Any, Self, TypeVar

import httpx

from pipelines.client.calls import Call, Limits, Outcome, Wait, exchange
from pipelines.client.core import BaseClient, PartPredictions, merged
from pipelines.client.errors import UnavailableError
from pipelines.client.results import Explanation, Metadata, Model, Predictions
from pipelines.client.tables import Rows

T = TypeVar("T")


class Client(BaseClient):
    """Calls the prediction service and waits for its responses; may be used by several threads at once.

    Parameters
    ----------
    url, token, concurrency, attempts, timeout, deadline, verify
        As of :class:`~pipelines.client.core.BaseClient`.

    Examples
    --------
    >>> client = Client("http://127.0.0.1:8000", "aimass_secret")
    >>> client  # the token is never shown
    Client('http://127.0.0.1:8000')
    >>> client.predict("churn", {"tenure": [5, 40], "plan": ["monthly", "yearly"]}).values  # doctest: +SKIP
    ['yes', 'no']
    >>> client.close()
    """

    _http: httpx.Client

    def _open(self) -> None:
        self._http = httpx.Client(**self._options())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def predict(
        self,
        model: str,
        rows: Rows,
        version: int | None = None,
        label: str | None = None,
        sticky_key: str | None = None,
    ) -> Predictions:
        """Predict rows: any number, sent in requests of at most 1,000 rows, several at once.

        Parameters
        ----------
        model
            Its name.
        rows
            Mappings (a list, or anything that yields them), a mapping of columns, or a frame of pandas, polars or
            pyarrow. Every missing cell of these is sent as null.
        version, label
            Another version than the live one: its number, or ``live``, ``champion`` or ``newest``.
        sticky_key
            While a new version is released by a canary, all calls with the same key reach the same version, such as
            those for one customer; also all requests of this call. Only the gateway sees it, and keeps it nowhere.

        Returns
        -------
        Predictions
            In the order of the rows.

        Raises
        ------
        InputError
            If a cell or the key cannot be sent.
        ClientError
            As its classes tell; rows are numbered as in the whole input. There is no result of a part.
        """
        calls = self._predictions(model, rows, version, label, sticky_key)
        first = list(islice(calls, 2))
        limits = self._limits()
        if len(first) < 2:
            return merged(self._run(call, limits) for call in first)
        return merged(self._run_all(chain(first, calls), limits))

    def explain(self, model: str, row: Mapping[str, Any], version: int | None = None) -> Explanation:
        """Explain the prediction of one row; the token needs the scope ``explain``.

        Raises
        ------
        ClientError
            As its classes tell.
        """
        return self._run(self._explanation(model, row, version), self._limits())

    def models(self, search: str | None = None, ready: bool | None = None) -> list[Model]:
        """Return the models: those whose name holds a text, those that are ready (or are not).

        Raises
        ------
        ClientError
            As its classes tell.
        """
        return self._run(self._models(search, ready), self._limits())

    def metadata(self, model: str, version: int | None = None) -> Metadata:
        """Return what a model is asked with: columns, an example, a call that can be copied.

        Raises
        ------
        ClientError
            As its classes tell.
        """
        return self._run(self._metadata(model, version), self._limits())

    def ready(self, model: str | None = None) -> bool:
        """Tell whether a model is ready, or all that are live; False too if the gateway does not respond.

        Raises
        ------
        NotFoundError
            If there is no such model.
        """
        try:
            return self._run(self._ready(model), self._limits())
        except UnavailableError:
            return False

    def _run(self, call: Call[T], limits: Limits, stop: threading.Event | None = None) -> T:
        steps = exchange(call, limits)
        stopped = stop or threading.Event()
        outcome: Outcome = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Wait):
                    outcome = None
                    if stopped.wait(step.seconds):
                        raise UnavailableError("another request of this call has failed", where=call.where)
                else:
                    outcome = self._send(call, step.timeout)
        except StopIteration as done:
            result: T = done.value
            return result

    def _send(self, call: Call[Any], timeout: float) -> Outcome:
        try:
            return self._http.request(
                call.method, call.path, content=call.content or None, headers=call.headers, timeout=timeout
            )
        except httpx.TransportError as error:
            return error

    def _run_all(self, calls: Iterator[Call[PartPredictions]], limits: Limits) -> Iterator[PartPredictions]:
        """Yield the results of calls in their order; the first failure ends them all."""
        stop = threading.Event()
        waiting: deque[Future[PartPredictions]] = deque()
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="aimass-client") as pool:
            try:
                for call in calls:
                    waiting.append(pool.submit(self._run, call, limits, stop))
                    if len(waiting) > self._concurrency:
                        yield _first(waiting)
                while waiting:
                    yield _first(waiting)
            finally:
                stop.set()
                for future in waiting:
                    future.cancel()


def _first(waiting: deque[Future[T]]) -> T:
    """Take the first result once it is there; the first failure of any is raised at once."""
    while True:
        for each in waiting:
            if each.done():
                each.result()
        if waiting[0].done():
            return waiting.popleft().result()
        wait([each for each in waiting if not each.done()], return_when=FIRST_COMPLETED)
