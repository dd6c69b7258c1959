"""The figures of nights, stages, services, alerts and backups for Prometheus, as the ledger has them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipelines.backup.shelf import begun, list_backups
from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.monitoring.heartbeat import last_beat
from pipelines.settings import Settings

Sample = tuple[Iterable[str], float | None]

INPUTS, PROCESSES = "inputs", "process"
"""Kinds of the monitor's windows: of what callers send, of the services' processes."""
STAGE = ("model", "stage")
"""Labels of a task; an operation of all models has an empty ``model``."""
TASK_FIGURES = {
    "seconds": ("aimass_stage_seconds", "Wall clock time of the newest run of a stage or operation"),
    "cpu_seconds": ("aimass_stage_cpu_seconds", "CPU time of its newest run, child processes included"),
    "gpu_seconds": ("aimass_stage_gpu_seconds", "Time for which its newest run held GPUs, times their number"),
    "peak_memory": ("aimass_stage_peak_memory_bytes", "Most memory that its newest run held"),
    "bytes_read": ("aimass_stage_read_bytes", "What its newest run read from storage"),
    "bytes_written": ("aimass_stage_written_bytes", "What its newest run wrote to storage"),
}


def exposition(settings: Settings, ledger: Ledger) -> bytes:
    """Return the figures in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Figures(settings, ledger))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings, self._ledger = settings, ledger

    def describe(self) -> list[Metric]:
        """Return nothing: what there is depends on the ledger, which is read once."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield each figure with its samples."""
        yield from self._tasks()
        yield from self._models()
        yield from self._services()
        yield from self._platform()

    def _tasks(self) -> Iterator[Metric]:
        rows = self._ledger.newest_task_usage()
        for column, (name, text) in TASK_FIGURES.items():
            yield _gauge(name, text, STAGE, (((row.model or "", row.stage), getattr(row, column)) for row in rows))
        results = (((row.model or "", row.stage), float(row.state == "done")) for row in rows)
        yield _gauge("aimass_stage_succeeded", "Whether its newest run succeeded", STAGE, results)
        ends = (((row.model or "", row.stage), row.ended_at.timestamp()) for row in rows)
        yield _gauge("aimass_stage_ended_timestamp_seconds", "When its newest run ended", STAGE, ends)

    def _models(self) -> Iterator[Metric]:
        names = [row.name for row in self._ledger.models()]
        nights = {name: self._ledger.nights(name) for name in names}
        good = {
            name: max((row.finished_at for row in rows if row.state == "success" and row.finished_at), default=None)
            for name, rows in nights.items()
        }
        text = "When the last good night ended"
        yield _gauge("aimass_night_last_success_timestamp_seconds", text, ("model",), _moments(good))
        last = {name: rows[-1] for name, rows in nights.items() if rows}
        ended = [((name,), float(row.state == "success")) for name, row in last.items() if row.state != "running"]
        yield _gauge("aimass_night_succeeded", "Whether the newest night succeeded, if it is over", ("model",), ended)
        took = [
            ((name,), (row.finished_at - row.started_at).total_seconds())
            for name, row in last.items()
            if row.finished_at is not None
        ]
        yield _gauge("aimass_night_seconds", "Wall clock time of the newest night, if it is over", ("model",), took)
        live = self._ledger.routes()
        yield _gauge("aimass_live_version", "The live version", ("model",), (((n,), float(v)) for n, v in live.items()))
        yield _gauge("aimass_drift_psi", "Population stability index of the newest window", ("model", "column"),
                     (sample for name in names for sample in self._drift(name)))  # fmt: skip

    def _drift(self, model: str) -> Iterator[Sample]:
        for window in self._ledger.windows(model, INPUTS, 1):
            for column, figures in window.figures.get("columns", {}).items():
                yield (model, column), figures.get("psi")

    def _services(self) -> Iterator[Metric]:
        labels = ("model", "version")
        open_ones = [row for row in self._ledger.serving() if row.desired == "serve"]
        ready = (((row.model, str(row.version)), float(row.actual == "ready")) for row in open_ones)
        yield _gauge("aimass_service_ready", "Whether a version that is to be served is ready", labels, ready)
        cpu: dict[tuple[str, str], float] = {}
        rows: dict[tuple[str, str], float] = {}
        for row in self._ledger.serving_usage():
            key = (row.model, str(row.version) if row.version else "gateway")
            cpu[key] = cpu.get(key, 0.0) + row.cpu_seconds
            rows[key] = rows.get(key, 0.0) + row.rows
        text = "CPU time of a version's services, and of the gateway for a model"
        yield _counter("aimass_serving_cpu_seconds", text, labels, cpu.items())
        yield _counter("aimass_serving_rows", "Rows predicted", labels, rows.items())
        windows = [w for model in {row.model for row in open_ones} for w in self._ledger.windows(model, PROCESSES, 1)]
        for figure, name, text in (
            ("saturation", "aimass_service_saturation", "Share of a core that the busiest process of a model used"),
            ("memory", "aimass_service_memory_bytes", "Memory of the largest process of a model"),
        ):
            yield _gauge(name, text, ("model",), (((window.model,), window.figures[figure]) for window in windows))

    def _platform(self) -> Iterator[Metric]:
        counts: dict[tuple[str, str], float] = {}
        for row in self._ledger.alerts():
            counts[row.model or "", row.kind] = counts.get((row.model or "", row.kind), 0.0) + 1
        yield _gauge("aimass_open_alerts", "Alerts that are open", ("model", "kind"), counts.items())
        try:
            backups = list_backups(self._settings, patience=0.0)
        except AimassError:  # an object store that is away
            backups = []
        newest = [((), begun(backups[-1].name).timestamp())] if backups else []
        yield _gauge("aimass_backup_last_timestamp_seconds", "When the newest backup was begun", (), newest)
        beat = last_beat(self._settings)
        looked = [] if beat is None else [((), beat.timestamp())]
        yield _gauge("aimass_monitor_last_timestamp_seconds", "When the monitor last looked at everything", (), looked)
        folders = [path for path in (self._settings.storage, self._settings.backups) if path.is_dir()]
        free = [((path.name,), float(shutil.disk_usage(path).free)) for path in folders]
        yield _gauge("aimass_disk_free_bytes", "Free disk where a folder lies", ("folder",), free)


def _moments(found: dict[str, datetime | None]) -> Iterator[Sample]:
    return (((name,), moment.timestamp()) for name, moment in found.items() if moment is not None)


def _gauge(name: str, text: str, labels: Iterable[str], samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for values, number in samples:
        if number is not None:
            family.add_metric(list(values), float(number))
    return family


def _counter(name: str, text: str, labels: Iterable[str], samples: Iterable[Sample]) -> Metric:
    family = CounterMetricFamily(name, text, labels=list(labels))
    for values, number in samples:
        if number is not None:
            family.add_metric(list(values), float(number))
    return family
