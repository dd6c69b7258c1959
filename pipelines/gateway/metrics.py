"""What Prometheus reads: requests, latency, errors, and what the prediction log had to drop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 4.0, 16.0)


class Metrics:
    """The counters of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("aimass_requests", "Prediction requests", ["model", "code"], registry=self.registry)
        self.rows = Counter("aimass_rows", "Rows predicted", ["model"], registry=self.registry)
        self.errors = Counter(
            "aimass_errors", "Requests answered with an error", ["model", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "aimass_request_seconds", "Time to respond", ["model"], buckets=BUCKETS, registry=self.registry
        )
        self.cells = Counter(
            "aimass_cells",
            "Cells that were unreadable, unseen in training, out of its range or missing",
            ["model", "column", "kind"],
            registry=self.registry,
        )

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Export a number that is kept elsewhere."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def observe(
        self, model: str, code: int, seconds: float, rows: int, warnings: Mapping[str, Mapping[str, int]] | None = None
    ) -> None:
        """Count one request that was responded to, and the cells that its response warns of."""
        self.requests.labels(model, code).inc()
        self.seconds.labels(model).observe(seconds)
        if code >= 400:
            self.errors.labels(model, code).inc()
        else:
            self.rows.labels(model).inc(rows)
        for column, kinds in (warnings or {}).items():
            for kind, count in kinds.items():
                self.cells.labels(model, column, kind).inc(count)

    def asked(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return by model how many requests were answered, and how many rows predicted."""
        requests: dict[str, float] = {}
        rows: dict[str, float] = {}
        for counter, total in ((self.requests, requests), (self.rows, rows)):
            for sample in next(iter(counter.collect())).samples:
                if sample.name.endswith("_total"):
                    total[sample.labels["model"]] = total.get(sample.labels["model"], 0.0) + sample.value
        return requests, rows

    def text(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self.registry)
