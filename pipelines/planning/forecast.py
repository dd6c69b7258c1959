"""The plan of a coming night: rows, minutes, memory and cost of each stage, and the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pipelines.planning.curves import BETWEEN_SECONDS, GROWS_WITH, REUSED_SECONDS, curves_of
from pipelines.planning.growth import Curve, Estimate, estimate, largest, together
from pipelines.planning.history import PastNight, Search, points, work_of

HOUR = 3600.0
FEWER = {"sample": 1.0, "clean": 0.98, "split": 0.9, "features": 1.0}
"""Rows of a stage's result over those of the stage before it, where no night tells; a tenth is sealed."""


@dataclass(frozen=True)
class StagePlan:
    """What one stage will take.

    Parameters
    ----------
    nights
        That its times come from; 0: growth curves.
    rows
        Of its result; None: it has none, or nothing tells.
    """

    stage: str
    reused: bool
    nights: int
    rows: Estimate | None
    seconds: Estimate
    cpu_seconds: Estimate
    gpu_seconds: Estimate
    peak_memory: Estimate
    bytes_written: Estimate
    cost: Estimate


@dataclass(frozen=True)
class Plan:
    """What a night will take; ``between`` is its time outside its stages, ``memory`` that of its largest stage."""

    stages: Sequence[StagePlan]
    between: Estimate
    seconds: Estimate
    peak_memory: Estimate
    cost: Estimate


def forecast(
    nights: Sequence[PastNight],
    stages: Sequence[str],
    rows: Estimate,
    search: Search,
    *,
    reused: Mapping[str, float | None] | None = None,
    cpu_hour: float = 0.0,
    gpu_hour: float = 0.0,
) -> Plan:
    """Tell what a night will take.

    Parameters
    ----------
    nights
        Those before it, oldest first.
    stages
        Of its chain, in their order.
    rows
        That it reads.
    reused
        Stage that is re-used → rows of its result.
    cpu_hour, gpu_hour
        Prices of an hour of one core and of one GPU.
    """
    known = dict(reused or {})
    counted = rows_of(nights, stages, rows, known)
    work = {name: each.value for name, each in counted.items()}
    spread = (rows.low / rows.value, rows.high / rows.value) if rows.value else (1.0, 1.0)
    plans = []
    for stage in stages:
        again = stage in known
        taken = {
            what: _taken(nights, stage, what, search, work, again, spread)
            for what in ("seconds", "cpu_seconds", "gpu_seconds", "peak_memory", "bytes_written")
        }
        priced = [taken["cpu_seconds"].times(cpu_hour / HOUR), taken["gpu_seconds"].times(gpu_hour / HOUR)]
        evidence = _reused(nights, stage) if again else points(nights, stage, "seconds", search)
        shown = Estimate.exactly(float(search.trials)) if stage == "tune" and search.trials and not again else None
        plans.append(
            StagePlan(stage, again, len(evidence), shown or counted.get(stage), **taken, cost=together(priced))
        )
    between = estimate([(0.0, night.between) for night in nights], 0.0, Curve(BETWEEN_SECONDS))
    return Plan(
        plans,
        between,
        together([between, *(plan.seconds for plan in plans)]),
        largest([plan.peak_memory for plan in plans]),
        together([plan.cost for plan in plans]),
    )


def rows_of(
    nights: Sequence[PastNight], stages: Sequence[str], read: Estimate, known: Mapping[str, float | None]
) -> dict[str, Estimate]:
    """Return the rows of each result that counts rows: of what is re-used exactly, else by the share that was left."""
    found: dict[str, Estimate] = {}
    for stage in (each for each in stages if each in GROWS_WITH and each not in ("tune", "ensemble", "evaluate")):
        given = known.get(stage)
        before = GROWS_WITH[stage]
        if given is not None:
            found[stage] = Estimate.exactly(given)
        elif stage == "ingest":
            found[stage] = read
        elif before in found:
            pairs = [
                (each[before], each[stage]) for night in nights if {before, stage} <= (each := night.rows()).keys()
            ]
            shares = [after / had for had, after in pairs if had]
            found[stage] = found[before].times(median(shares) if shares else FEWER.get(stage, 1.0))
    return found


def _taken(
    nights: Sequence[PastNight],
    stage: str,
    what: str,
    search: Search,
    rows: Mapping[str, float],
    again: bool,
    spread: tuple[float, float],
) -> Estimate:
    """Return what a stage takes of one thing; what is not known of the rows widens the interval."""
    curves = curves_of(stage, budgeted=search.seconds is not None)
    if again:
        light = Curve({"seconds": REUSED_SECONDS, "cpu_seconds": REUSED_SECONDS, "peak_memory": 2e8}.get(what, 0.0))
        return estimate([(0.0, each) for each in _reused(nights, stage, what)], 0.0, light)
    work = work_of(stage, rows, search)
    curve = {
        "seconds": curves.seconds,
        "cpu_seconds": Curve(curves.seconds.fixed * curves.cores, curves.seconds.per_unit * curves.cores),
        "peak_memory": curves.memory,
        "bytes_written": curves.written,
    }.get(what, Curve(0.0))
    seen = points(nights, stage, what, search)
    found = estimate(seen, work or 0.0, curve)
    if work is None or (search.seconds is not None and stage in ("tune", "ensemble")):
        return found
    ends = [estimate(seen, work * end, curve).value / found.value if found.value else 1.0 for end in spread]
    return Estimate(found.value, found.low * ends[0], found.high * ends[1])


def _reused(nights: Sequence[PastNight], stage: str, what: str = "seconds") -> list[float]:
    runs = [run for night in nights if (run := night.runs.get(stage)) is not None and run.reused]
    return [float(taken) for run in runs if (taken := getattr(run, what)) is not None]
