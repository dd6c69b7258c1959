"""What a model costs: CPU and GPU time of its nights and of its services, by version and per 1,000 predictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from pipelines.ledger import Ledger
from pipelines.ledger.rows import ServingUsageRow, TaskUsageRow

GATEWAY = 0
"""The version by which the ledger names the gateway's share of a model."""
HOUR = Decimal(3600)


@dataclass
class Cost:
    """What a version took, or what belongs to none.

    Parameters
    ----------
    version
        None: see ``what``.
    what
        The night that made it, or what else this is.
    cpu_seconds, gpu_seconds, peak_memory
        Of its night's tasks, all attempts of them; the memory, in bytes, is that of the largest.
    serving_cpu_seconds
        Of its services, and its part of the gateway's share of the model.
    predictions
        Rows that its services predicted.
    training, serving
        Money.
    per_1000, per_1000_with_training
        Money for a thousand predictions: of serving alone, and with the night; None: there were none.
    """

    version: int | None
    what: str
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    peak_memory: int = 0
    serving_cpu_seconds: float = 0.0
    predictions: int = 0
    cpu_seconds_per_1000: float | None = None
    training: float = 0.0
    serving: float = 0.0
    per_1000: float | None = None
    per_1000_with_training: float | None = None

    def add_tasks(self, rows: Iterable[TaskUsageRow]) -> None:
        """Add what tasks took."""
        for row in rows:
            self.cpu_seconds += row.cpu_seconds
            self.gpu_seconds += row.gpu_seconds
            self.peak_memory = max(self.peak_memory, row.peak_memory)

    def price(self, cpu_hour: Decimal, gpu_hour: Decimal) -> None:
        """Fill in what follows from the seconds, the predictions and the prices."""
        training = (Decimal(self.cpu_seconds) * cpu_hour + Decimal(self.gpu_seconds) * gpu_hour) / HOUR
        serving = Decimal(self.serving_cpu_seconds) * cpu_hour / HOUR
        self.training, self.serving = float(round(training, 6)), float(round(serving, 6))
        if self.predictions:
            thousands = Decimal(self.predictions) / 1000
            self.cpu_seconds_per_1000 = round(self.serving_cpu_seconds / float(thousands), 6)
            self.per_1000 = float(round(serving / thousands, 6))
            self.per_1000_with_training = float(round((training + serving) / thousands, 6))
        self.cpu_seconds, self.gpu_seconds = round(self.cpu_seconds, 3), round(self.gpu_seconds, 3)
        self.serving_cpu_seconds = round(self.serving_cpu_seconds, 3)


def costs_of(ledger: Ledger, model: str, cpu_hour: Decimal, gpu_hour: Decimal) -> list[Cost]:
    """Return one line per version, then what belongs to none, then the sum.

    Parameters
    ----------
    cpu_hour, gpu_hour
        Price of an hour of one core and of one GPU.
    """
    tasks, served = ledger.task_usage(model), ledger.serving_usage(model)
    lines = []
    made: set[str] = set()
    for version in ledger.versions(model):
        line = Cost(version.version, version.night)
        line.add_tasks(row for row in tasks if row.night == version.night)
        made.add(version.night)
        lines.append(line)
    _add_serving(lines, served)
    rest = (
        ("nights without a version", [row for row in tasks if row.night is not None and row.night not in made]),
        ("batches and rollbacks", [row for row in tasks if row.night is None]),
    )
    for what, rows in rest:
        if rows:
            lines.append(Cost(None, what))
            lines[-1].add_tasks(rows)
    whole = Cost(None, "all")
    whole.add_tasks(tasks)
    whole.serving_cpu_seconds = sum(row.cpu_seconds for row in served)
    whole.predictions = sum(row.rows for row in served if row.version != GATEWAY)
    lines.append(whole)
    for line in lines:
        line.price(cpu_hour, gpu_hour)
    return lines


def _add_serving(lines: Iterable[Cost], served: Iterable[ServingUsageRow]) -> None:
    """Add what services took; the gateway's share goes by the rows that each version predicted."""
    rows = list(served)
    gateway = sum(row.cpu_seconds for row in rows if row.version == GATEWAY)
    predicted = sum(row.rows for row in rows if row.version != GATEWAY)
    for line in lines:
        mine = [row for row in rows if row.version == line.version]
        line.predictions = sum(row.rows for row in mine)
        share = line.predictions / predicted if predicted else 0.0
        line.serving_cpu_seconds = sum(row.cpu_seconds for row in mine) + gateway * share


def as_dicts(lines: Iterable[Cost]) -> list[dict[str, Any]]:
    """Return the lines as plain objects."""
    return [asdict(line) for line in lines]
