"""Traces for OpenTelemetry: of nights and their stages, of requests through the gateway and the services.

On where ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``…_TRACES_ENDPOINT``) names a collector that takes OTLP over HTTP; the
other ``OTEL_…`` variables count, too. Elsewhere nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Literal

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER = "opentelemetry.exporter.otlp.proto.http"
SECONDS = 3.0
"""How long a process waits for its collector at most when it ends."""
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")

log = logging.getLogger(__name__)


class Span:
    """A span that is open."""

    def __init__(self, span: Any) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def note(self, **facts: Any) -> None:
        """Add attributes; ``aimass.`` is put before their names."""
        self._span.set_attributes({f"aimass.{name}": value for name, value in facts.items() if value not in (None, "")})

    def fail(self, why: str) -> None:
        """Mark it as failed."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR, why))


class Tracing:
    """Makes the spans of one process and sends them to the collector in the background.

    Parameters
    ----------
    service
        ``service.name`` of its spans, where ``OTEL_SERVICE_NAME`` does not say otherwise.
    ids
        Trace and span id of its spans; None: random ones.
    """

    def __init__(self, service: str, ids: tuple[int, int] | None = None) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", service)})
        self._provider = TracerProvider(
            resource=resource, id_generator=None if ids is None else _fixed(*ids), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=SECONDS)))
        self._tracer = self._provider.get_tracer("aimass")

    @contextmanager
    def span(
        self,
        name: str,
        kind: Literal["INTERNAL", "SERVER", "CLIENT"] = "INTERNAL",
        parent: str = "",
        links: Sequence[str] = (),
        **facts: Any,
    ) -> Iterator[Span]:
        """Open a span; an exception marks it as failed.

        Parameters
        ----------
        parent, links
            W3C ``traceparent`` of the span that it belongs to, and of others that it is about; what is none is left
            out.
        facts
            Its attributes.
        """
        from opentelemetry.trace import Link, SpanKind

        with self._tracer.start_as_current_span(
            name,
            context=_context(parent),
            kind=SpanKind[kind],
            links=[Link(each) for each in map(_remote, links) if each],
        ) as opened:
            span = Span(opened)
            span.note(**facts)
            yield span

    def whole(self, name: str, start: datetime, end: datetime, error: str, **facts: Any) -> None:
        """Tell of a span that has begun and ended, in other processes."""
        opened = self._tracer.start_span(name, context=_context(""), start_time=_nanoseconds(start))
        span = Span(opened)
        span.note(**facts)
        if error:
            span.fail(error)
        opened.end(_nanoseconds(end))

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def on() -> bool:
    """Tell whether the environment asks for traces."""
    return any(map(os.environ.get, ENDPOINTS)) and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"


def start(service: str, ids: tuple[int, int] | None = None) -> Tracing | None:
    """Begin to trace where the environment asks for it; else return None."""
    if not on():
        return None
    try:
        found = find_spec(EXPORTER) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        log.warning("no traces: OTEL_EXPORTER_OTLP_ENDPOINT is set, but opentelemetry-exporter-otlp is not installed")
        return None
    return Tracing(service, ids)


@contextmanager
def stage_span(stage: str, model: str, night: str, **facts: Any) -> Iterator[None]:
    """Open the span of a stage, within that of its night; do nothing where traces are off."""
    tracing = start("aimass-stage")
    if tracing is None:
        yield
        return
    try:
        with tracing.span(stage, parent=night_traceparent(model, night), model=model, run_id=night, **facts):
            yield
    finally:
        tracing.close()


def night_ended(model: str, night: str, begun: datetime, ended: datetime, error: str = "") -> None:
    """Send the span that the stages of a night belong to, once it is over; do nothing where traces are off."""
    tracing = start("aimass-night", _night_ids(model, night))
    if tracing is not None:
        tracing.whole(f"night {model}", begun, ended, error, model=model, run_id=night)
        tracing.close()


def night_traceparent(model: str, night: str) -> str:
    """Return the W3C ``traceparent`` of a night: each process knows it from the model and the run id."""
    trace, span = _night_ids(model, night)
    return f"00-{trace:032x}-{span:016x}-01"


def trace_id(traceparent: str) -> str:
    """Return the trace id of a ``traceparent``; empty if it is none."""
    match = TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else ""


def environment() -> dict[str, str]:
    """Return the variables that a process needs in order to trace; empty where traces are off."""
    return {name: value for name, value in os.environ.items() if name.startswith("OTEL_")} if on() else {}


def _night_ids(model: str, night: str) -> tuple[int, int]:
    digest = hashlib.blake2b(f"{model}\n{night}".encode(), digest_size=24).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:])


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def _remote(traceparent: str) -> Any:
    """Return the span context that a ``traceparent`` names; None if it names none."""
    from opentelemetry.trace import SpanContext, TraceFlags

    match = TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    context = SpanContext(int(match[1], 16), int(match[2], 16), True, TraceFlags(int(match[3], 16)))
    return context if context.is_valid else None


def _context(parent: str) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    remote = _remote(parent)
    return Context() if remote is None else set_span_in_context(NonRecordingSpan(remote), Context())


def _fixed(trace: int, span: int) -> Any:
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Fixed(IdGenerator):
        def generate_trace_id(self) -> int:
            return trace

        def generate_span_id(self) -> int:
            return span

    return Fixed()
