"""A collector of traces: takes OTLP over HTTP on a free loopback port, and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector:
    """Spans as they came, each with ``service``, ``traceparent`` and ``facts``."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.address = ""

    def take(self, body: bytes) -> None:
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {each.key: each.value.string_value for each in of_resource.resource.attributes}["service.name"]
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    facts = {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
                    self.spans.append(
                        {
                            "service": service,
                            "name": span.name,
                            "trace": span.trace_id.hex(),
                            "id": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "kind": span.kind,
                            "failed": span.status.code == 2,
                            "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                            "facts": facts,
                        }
                    )

    def named(self, name: str) -> dict[str, Any]:
        """Return the one span of a name."""
        (found,) = [span for span in self.spans if span["name"] == name]
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """Collect until the end of the context."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    collector.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
