"""Serves one model directory on one unix socket: ``serve(SOCKET, MODEL_DIRECTORY, PUBLIC_KEY)``.

The socket is readable by its owner alone; where gateways are on other hosts, it is a port that asks for their
certificates instead. Both speak :mod:`pipelines.inference.service.frames`. Operations:
``ping``; ``describe``, which tells what a request needs; ``predict``; ``explain``; ``usage``, which tells what the
process took so far. One process, one thread: what takes time is the model.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from pipelines import tracing
from pipelines.errors import AimassError, DataError, DeployError
from pipelines.inference.explain import explain_row
from pipelines.inference.golden import TOLERANCE, parted_feature, predictions_difference
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.predictor import Predictor
from pipelines.inference.records import by_row
from pipelines.inference.service.columns import predict_columns
from pipelines.inference.service.frames import CLOSING, FrameError, FrameReader, frame
from pipelines.inference.service.tls import Certificates, split

SELF_TEST_ROWS = 20
DRAIN_SECONDS = 27.0
HANDSHAKE_SECONDS = 5.0
"""That a caller on a network may take to show who it is."""

log = logging.getLogger(__name__)


class Service:
    """Responds to the messages of all connections with one predictor."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.process, self.rows = uuid4().hex, 0
        self.tracing = tracing.start("aimass-service")
        self.connections: set[Connection] = set()
        self._operations: Mapping[str, Callable[[Any], Any]] = {
            "ping": lambda _: {"ready": True},
            "describe": lambda _: describe(predictor),
            "predict": self._predict if self.tracing is None else self._traced,
            "explain": lambda asked: explain_row(predictor, asked["row"]),
            "usage": lambda _: self.usage(),
        }

    def _predict(self, asked: Any) -> dict[str, Any]:
        found = predict_columns(self.predictor, asked["columns"], asked["rows"])
        self.rows += asked["rows"]
        return found

    def _traced(self, asked: Any) -> dict[str, Any]:
        """Predict within a span of the first request of the call; the others are linked to it."""
        traces: list[str] = asked.get("traces") or [""]
        facts = {"model": self.predictor.facts["model"], "rows": asked["rows"]}
        assert self.tracing is not None
        with self.tracing.span("predict", "SERVER", parent=traces[0], links=traces[1:], **facts):
            return self._predict(asked)

    def usage(self) -> dict[str, Any]:
        """Return what this process took since it began: CPU seconds, rows predicted, and bytes held now and at most."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        cpu = time.process_time()
        return {"process": self.process, "cpu_seconds": cpu, "rows": self.rows, "memory": resident, "peak_memory": peak}

    def respond(self, message: Any) -> bytes:
        """Return the response to one message as bytes."""
        number, operation, payload = message
        try:
            return frame([number, "ok", self._operations[operation](payload)])
        except AimassError as error:
            kind = "refused" if isinstance(error, DataError) else "failed"
            return frame([number, kind, error.to_dict()])
        except Exception as error:  # one request must not end the service
            ids = ",".join(payload.get("requests") or ("-",)) if isinstance(payload, dict) else "-"
            log.exception("a request failed: id=%s", ids, extra={"request_id": ids})  # rows are in no message of ours
            what = {"what": "the model failed", "seen": type(error).__name__, "cure": "see the log of the service"}
            return frame([number, "failed", what])

    def close(self) -> None:
        """Ask for no more requests; what has arrived is answered."""
        for connection in self.connections:
            connection.write(frame([0, CLOSING, None]))


class Connection(asyncio.Protocol):
    """One caller: its bytes are cut into messages and answered in their order."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._service.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Respond to the messages that are complete."""
        try:
            messages = self._reader.feed(data)
        except FrameError as error:
            log.warning("a connection was closed: %s", error)
            if self._transport is not None:
                self._transport.close()
            return
        for message in messages:
            self.write(self._service.respond(message))

    def write(self, data: bytes) -> None:
        """Send a message."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._service.connections.discard(self)


def describe(predictor: Predictor) -> dict[str, Any]:
    """Return what a caller of this version must know: columns, example, classes, and which version it is."""
    schema = predictor.schema
    nested = {column.name for column in predictor.recipe.columns if column.nested}
    return {
        "model": predictor.facts["model"],
        "task": predictor.facts["task"],
        "digest": predictor.version_digest,
        "classes": predictor.labels,
        "positive": predictor.labels[predictor.positive] if predictor.facts["task"] == "binary" else None,
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "optional": column.optional,
                "nested": column.name in nested,
                "low": column.low,
                "high": column.high,
                "levels": column.levels,
                "formats": column.formats,
            }
            for column in schema.columns
        ],
        "requested": predictor.requested,
        "required": predictor.required,
        "key": schema.key,
        "private": schema.private,
        "example": schema.example,
    }


def self_test(predictor: Predictor) -> None:
    """Repeat the features of the first golden rows, and their predictions by row and by column.

    Raises
    ------
    DeployError
        If one differs: the libraries here are not those that made the model, or the machine computes otherwise.
    """
    rows = predictor.golden["rows"][:SELF_TEST_ROWS]
    stored = predictor.golden["answers"][:SELF_TEST_ROWS]
    columns = {name: [row.get(name) for row in rows] for name in predictor.requested}
    served = by_row(predict_columns(predictor, columns, len(rows))["outputs"]) if rows else []
    difference = max(
        predictions_difference(predictor.predict_rows(rows), stored), predictions_difference(served, stored)
    )
    parted = parted_feature(predictor, first=SELF_TEST_ROWS)
    if parted or not difference <= TOLERANCE:
        raise DeployError(
            "the model does not repeat its golden predictions",
            where=predictor.facts["model"],
            seen=f"largest difference {difference:g}; {parted or 'all features agree'}",
            expected=f"at most {TOLERANCE:g}",
            cure="serve it with the library versions that its bento names",
        )


async def _listen(service: Service, socket: Path | str, certificates: Certificates | None) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if isinstance(socket, str):
        if certificates is None:
            raise DeployError("a service on a network needs certificates", where=socket)
        host, port = split(socket)
        context = certificates.server()
        return await loop.create_server(
            lambda: Connection(service), host, port, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
    socket.unlink(missing_ok=True)
    umask = os.umask(0o177)
    try:
        return await loop.create_unix_server(lambda: Connection(service), socket)
    finally:
        os.umask(umask)


async def serve(socket: Path | str, model: Path, public_key: bytes, certificates: Certificates | None = None) -> None:
    """Load a model directory, test it, and serve it on a socket until SIGTERM.

    Parameters
    ----------
    socket
        Path of a unix socket, or ``tls:HOST:PORT``.
    certificates
        For the latter: what is shown to callers, and whose certificates they must show.

    Raises
    ------
    DeployError
        If the directory is not what was signed, or its golden predictions are not repeated.
    """
    predictor = ModelDirectory.open(model, public_key).predictor
    predictor.warm()
    self_test(predictor)
    gc.freeze()  # the model and what was imported stay: no collection has to visit them while requests wait
    service = Service(predictor)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await _listen(service, socket, certificates)
    log.info("ready on %s", socket)
    await stopped.wait()
    server.close()
    if isinstance(socket, Path):
        socket.unlink(missing_ok=True)
    service.close()
    deadline = loop.time() + DRAIN_SECONDS
    while service.connections and loop.time() < deadline:  # the callers hang up once they have their responses
        await asyncio.sleep(0.02)
    if service.tracing is not None:
        service.tracing.close()
