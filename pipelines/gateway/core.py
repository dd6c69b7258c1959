"""What all requests share: who may call, what is served, what is counted and logged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipelines import tracing
from pipelines.gateway.auth import TokenCheck, TokenStore
from pipelines.gateway.calls import Call
from pipelines.gateway.canary import Canaries, sticky_key
from pipelines.gateway.cpu_shares import CpuShares, ShareStore
from pipelines.gateway.feedback import feedback_log
from pipelines.gateway.figures import MEDIA_TYPE
from pipelines.gateway.metrics import Metrics
from pipelines.gateway.prediction_log import Answered, compact, prediction_log
from pipelines.gateway.quotas import Quotas, Usage, UsageStore
from pipelines.gateway.routing import Router, ServingStore
from pipelines.gateway.services import Predicted, Service, held
from pipelines.gateway.tables import Shape, Table
from pipelines.inference.service.tls import Certificates
from pipelines.private_columns import hashing_key, masked
from pipelines.settings import Settings
from pipelines.storage import sender

UNKNOWN = "(unknown)"

access = logging.getLogger("pipelines.gateway.access")


class Store(ServingStore, TokenStore, UsageStore, ShareStore, Protocol):
    """The part of the ledger that a gateway needs."""

    def mart_tables(self, name: str) -> list[Any]:
        """Return the versions of a published table, oldest first."""

    def newest_tables(self) -> list[Any]:
        """Return the newest version of each published table."""

    def close(self) -> None:
        """Return the connections back."""


class Gateway:
    """What the request handlers share; one per process."""

    def __init__(self, settings: Settings, ledger: Store, logs: bool, grpc_port: int | None = None) -> None:
        self.settings = settings
        self.grpc_port = grpc_port
        self.ledger = ledger
        self.tokens = TokenCheck(ledger)
        self.router = Router(ledger, Certificates.of(settings))
        self.usage = Usage(ledger)
        self.canaries = Canaries(ledger)
        self.quotas = Quotas(self.usage, settings.limits_url)
        self.metrics = Metrics()
        self.log = prediction_log(settings.storage, sent=sender(settings)) if logs else None
        self.hashing_key = hashing_key(settings) if logs else b""
        self.feedback = feedback_log(settings.storage, sent=sender(settings)) if logs else None
        self.in_flight = 0
        self.tracing = tracing.start("aimass-gateway")
        self.shares = CpuShares(ledger, self.metrics)
        self.metrics.watch("aimass_log_dropped_rows", "Rows the prediction log lost", self._dropped)
        self.metrics.watch(
            "aimass_copies_left_out",
            "Copies of requests that a candidate was too busy for",
            lambda: self.canaries.copies_left_out,
        )
        self.metrics.watch("aimass_in_flight", "Requests being answered", lambda: self.in_flight)

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Keep routes and usage up to date; at the end write out what is held."""
        logs = [log for log in (self.log, self.feedback) if log is not None]
        for log in logs:
            log.start()
        with suppress(Exception):  # a ledger that is away for now is told by /readyz
            await self.router.refresh()
        if self.grpc_port is not None:
            from pipelines.gateway.grpc_server import GRACE_SECONDS, start

            server = await start(self, f"{self.settings.host}:{self.grpc_port}")
        parts = (self.usage, self.canaries, self.shares)
        work = (self.router.keep_fresh(), *(each.keep_written() for each in parts))
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            if self.grpc_port is not None:
                await server.stop(GRACE_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.router.close()
            for each in parts:
                await each.flush()
            if self.tracing is not None:
                await asyncio.to_thread(self.tracing.close)
            for log in logs:
                await asyncio.to_thread(log.close)
            self.ledger.close()

    async def service(self, model: str, version: int | None) -> tuple[Service, Shape]:
        """Return the service of a model or a version, and what its requests hold.

        Raises
        ------
        RequestError
            404 for an unknown one, 503 if nothing is ready.
        """

        async def attempt() -> tuple[Service, Shape]:
            service = await self.router.service(model, version)
            return service, await service.shape()

        return await held(attempt)

    async def predict(self, call: Call, model: str, version: int | None, read: Callable[[Shape], Table]) -> Predicted:
        """Ask the service that the routes name, and the next one where they change meanwhile.

        While a version is being released, some callers are answered by it.

        Parameters
        ----------
        read
            Makes the table of the request, given what the version needs.

        Raises
        ------
        RequestError
            What a caller is told.
        """

        async def ask(version: int | None, logged: bool = True) -> tuple[Predicted, Table]:
            service = await self.router.service(model, version)
            if logged:  # what fails is logged, too
                call.asked = service.version
            table = read(await service.shape())
            if logged:
                call.table = table
            if self.tracing is None:
                return await service.predict(table, call.request_id), table
            facts: dict[str, Any] = {"model": model, "version": service.version, "rows": table.rows}
            facts["request_id"] = call.request_id
            with self.tracing.span(f"predict {model}", "CLIENT", parent=call.traceparent, **facts) as span:
                return await service.predict(table, call.request_id, span.traceparent), table

        async def live() -> tuple[Predicted, Table]:
            return await held(lambda: ask(version))

        rollout = None if version is not None else self.router.snapshot.rollouts.get(model)
        if rollout is None:
            predicted, _ = await live()
        else:
            _, shape = await self.service(model, None)
            key = sticky_key(call.sticky, read(shape), call.request_id)
            predicted, call.table = await self.canaries.predict(
                rollout, key, live, lambda: ask(rollout.version, logged=False)
            )
        call.predicted = predicted
        return predicted

    async def explain(
        self, model: str, version: int | None, read: Callable[[Shape], dict[str, Any]]
    ) -> tuple[Any, int]:
        """Return the explanation of a row's prediction, and the version that it is of.

        Parameters
        ----------
        read
            Makes the row, given what the version needs.

        Raises
        ------
        RequestError
            What a caller is told.
        """

        async def attempt() -> tuple[Any, int]:
            service = await self.router.service(model, version)
            return await service.explain(read(await service.shape())), service.version

        return await held(attempt)

    def record(self, call: Call, what: str) -> None:
        """Count, meter and log a request that is answered.

        Parameters
        ----------
        what
            Method and address, for the access log.
        """
        seconds = time.perf_counter() - call.started
        if call.model:
            known = call.model if self.router.snapshot.knows(call.model) else UNKNOWN
            self.metrics.observe(known, call.status, seconds, call.rows, call.doubts())
            if known != UNKNOWN and call.token and call.metered and call.status not in (401, 403, 429):
                self.usage.count(call.token, known, call.status, call.rows)
                refused = call.status == 503 and known in self.router.snapshot.paused  # by a person: no error of ours
                if self.log is not None and not refused:
                    self.log.add(_logged(call, known, seconds * 1000, self.hashing_key))
        if call.status >= 400 or self.settings.access_log == "all":
            facts = {"request_id": call.request_id, "status": call.status, "ms": round(seconds * 1000, 1)}
            if call.model:
                facts["model"] = call.model
            if call.traceparent:
                facts["trace_id"] = tracing.trace_id(call.traceparent)
            access.info(
                "%s %d %.1f ms id=%s token=%s%s",
                what[:200].encode("unicode_escape").decode(),
                call.status,
                seconds * 1000,
                call.request_id,
                call.token or "-",
                f" {call.error}" if call.error else "",
                extra=facts,
            )

    def _dropped(self) -> float:
        return 0 if self.log is None else self.log.dropped

    async def healthz(self, _request: Request) -> Response:
        """Tell that the process responds."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Tell whether every live model, or the one named, has a service that is ready; 503 if not."""
        snapshot = self.router.snapshot
        name = request.path_params.get("name")
        models = {
            model: {
                "live_version": snapshot.live.get(model),
                "ready_versions": snapshot.ready(model),
                "ready": bool(snapshot.ready(model)),
            }
            for model in snapshot.models()
            if name in (None, model)
        }
        if name is not None and not models:
            raise HTTPException(404)
        waiting = [model for model, state in models.items() if state["live_version"] is not None and not state["ready"]]
        ready = self.router.fresh() and not waiting
        return JSONResponse(
            {"ready": ready, "ledger": self.router.fresh(), "models": models}, status_code=200 if ready else 503
        )

    async def exposition(self, _request: Request) -> Response:
        """``GET /metrics``."""
        return Response(self.metrics.text(), media_type=MEDIA_TYPE)


def _logged(call: Call, model: str, ms: float, key: bytes) -> Answered:
    table = call.table
    cells: Mapping[str, Sequence[Any]] = {} if table is None else {**table.key, **table.columns}
    if table is not None and table.private:
        cells = masked(cells, table.private, key)
    asked = call.asked if call.status >= 500 else None
    version, outputs = (asked, {}) if call.predicted is None else (call.predicted.version, call.predicted.outputs)
    held = compact(cells, call.rows), compact(outputs, call.rows)
    return Answered(call.request_id, datetime.now(UTC), model, version, call.status, ms, call.rows, *held)
