"""What the nights of a model took, stage by stage, as the ledger has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.ledger import Ledger
from pipelines.ledger.rows import StageRow, TaskUsageRow
from pipelines.planning.curves import GROWS_WITH, SORTS
from pipelines.planning.growth import NEWEST, n_log_n

SAME_SOURCE = 3
"""Nights of the newest one's kind (platform, in process) from which on the other kind is left out."""

LOOKED_AT = 2 * NEWEST
"""Newest nights that are read, failed ones among them."""


@dataclass(frozen=True)
class Run:
    """One stage of one night that was done.

    Parameters
    ----------
    rows
        Of its result, in its own unit.
    seconds
        From the moment the task asked for it to its end: the start of its process is part of it.
    """

    rows: int | None
    seconds: float
    reused: bool = False
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    peak_memory: int | None = None
    bytes_written: int | None = None


@dataclass(frozen=True)
class PastNight:
    """A night that succeeded.

    Parameters
    ----------
    seconds
        From its first stage to its end.
    source_bytes
        What its sources held.
    trials, budget_seconds
        Of its search; where both are set the trials count.
    """

    as_of: datetime
    seconds: float
    runs: Mapping[str, Run] = field(default_factory=dict)
    source_bytes: int | None = None
    trials: int | None = None
    budget_seconds: float | None = None
    source: str = "local"

    @property
    def between(self) -> float:
        """Seconds of the night outside its stages."""
        return max(self.seconds - sum(run.seconds for run in self.runs.values()), 0.0)

    def rows(self) -> dict[str, float]:
        """Return the rows of each stage's result."""
        return {stage: float(run.rows) for stage, run in self.runs.items() if run.rows is not None}

    def search(self) -> Search:
        """Return what its search was given."""
        return Search(self.trials, None if self.trials else self.budget_seconds)


@dataclass(frozen=True)
class Search:
    """The budget of a search: in trials, else in seconds."""

    trials: int | None = None
    seconds: float | None = None


def past_nights(ledger: Ledger, model: str) -> list[PastNight]:
    """Return a model's nights that succeeded, oldest first; where there are enough, those of the newest one's kind."""
    usage: dict[tuple[str | None, str], TaskUsageRow] = {}
    for row in ledger.task_usage(model):
        if row.state == "done":
            usage[row.night, row.stage] = row
    found = []
    for night in ledger.nights(model)[-LOOKED_AT:]:
        if night.state != "success" or night.finished_at is None:
            continue
        rows = [row for row in ledger.stages(model, night.night) if row.state == "done" and row.finished_at is not None]
        if not rows:
            continue
        runs = {row.stage: _run(row, usage.get((night.night, row.stage))) for row in rows}
        stats = {row.stage: row.stats or {} for row in rows}
        spec: dict[str, Any] = next((row.spec or {} for row in rows if row.stage == "tune"), {})
        found.append(
            PastNight(
                as_of=night.as_of,
                seconds=(night.finished_at - min(row.started_at for row in rows)).total_seconds(),
                runs=runs,
                source_bytes=stats.get("ingest", {}).get("bytes"),
                trials=spec.get("trials"),
                budget_seconds=spec.get("budget_seconds"),
                source=night.source,
            )
        )
    found.sort(key=lambda night: night.as_of)
    alike = [night for night in found if night.source == found[-1].source]
    return alike if len(alike) >= SAME_SOURCE else found


def _run(row: StageRow, usage: TaskUsageRow | None) -> Run:
    assert row.finished_at is not None
    seconds, reused = (row.finished_at - row.started_at).total_seconds(), bool(row.reused)
    if usage is None:
        return Run(row.rows, seconds, reused)
    taken = usage.cpu_seconds, usage.gpu_seconds, usage.peak_memory, usage.bytes_written
    return Run(row.rows, seconds, reused, *taken)


def work_of(stage: str, rows: Mapping[str, float], search: Search) -> float | None:
    """Return the work of a stage: rows, rows times trials, seconds of a budget; None: it does not grow with rows.

    Parameters
    ----------
    rows
        Of the result of each stage.
    """
    if stage in ("tune", "ensemble") and search.seconds is not None:
        return search.seconds
    if stage not in GROWS_WITH:
        return None
    count = rows.get(GROWS_WITH[stage], 0.0)
    if stage == "tune":
        return count * (search.trials or 1)
    return n_log_n(count) if stage in SORTS else count


def points(nights: Sequence[PastNight], stage: str, what: str, search: Search) -> list[tuple[float, float]]:
    """Return work and what it took, of the nights that did the stage anew with a budget of the same kind."""
    found = []
    for night in nights:
        run = night.runs.get(stage)
        taken = None if run is None or run.reused else getattr(run, what)
        alike = stage not in ("tune", "ensemble") or (night.search().seconds is None) == (search.seconds is None)
        if taken is not None and alike:
            found.append((work_of(stage, night.rows(), night.search()) or 0.0, float(taken)))
    return found
