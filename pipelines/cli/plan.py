"""`aimass plan`: what a night will take, before it is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.artifacts import Night
from pipelines.cli.night import find_dag
from pipelines.errors import SpecError
from pipelines.gateway.prices import Prices
from pipelines.ledger import Ledger
from pipelines.local.dag_file import chain_of
from pipelines.planning.curves import GROWS_WITH
from pipelines.planning.forecast import Plan, StagePlan, forecast
from pipelines.planning.growth import LEVEL, Estimate
from pipelines.planning.history import Search, past_nights
from pipelines.planning.place import place_of
from pipelines.planning.reuse import Fate, foresee
from pipelines.planning.sources import rows_to_read
from pipelines.settings import Settings

MINUTE, GB = 1 / 60.0, 1e-9


def plan_night(
    settings: Settings,
    ledger: Ledger,
    name: str,
    *,
    at: datetime | None = None,
    rows: int | None = None,
    params: Mapping[str, Any] | None = None,
    prices: Path | None = None,
    dags: Path | None = None,
) -> dict[str, Any]:
    """Return the plan of a model's next night; nothing is run and nothing is written.

    Parameters
    ----------
    rows
        That it is to read; None: told from its sources and its nights. Given, no stage counts as re-used.
    prices
        Price table; None: that of the home.

    Raises
    ------
    SpecError
        If there is no such model, its DAG file is wrong, or nothing tells how many rows there are.
    """
    chain = chain_of(settings, find_dag(settings, name, dags), params or {})
    night = Night(model=chain.model, night="plan", as_of=at or datetime.now(UTC))
    before = [each for each in past_nights(ledger, name) if each.as_of <= night.as_of]
    fates = foresee(settings, ledger, night, chain) if rows is None else {}
    reused = {stage: fate.ref.rows for stage, fate in fates.items() if fate.reused and fate.ref is not None}
    ingest: Any = chain.stages["ingest"].spec
    read = Estimate.exactly(float(rows)) if rows is not None else rows_to_read(settings, night, ingest, before)
    if read is None:
        raise SpecError(
            "nothing tells how many rows the night will read",
            where=name,
            seen="no night that succeeded, and a source that is a database, packed or not there",
            expected="a number of rows",
            cure=f"aimass plan {name} --rows N",
        )
    tune: Any = chain.stages["tune"].spec if "tune" in chain.stages else None
    search = Search() if tune is None else Search(tune.trials, None if tune.trials else tune.budget_seconds)
    priced = Prices.load(settings.home) if prices is None else Prices.read(prices)
    plan = forecast(
        before,
        list(chain.stages),
        read,
        search,
        reused=reused,
        cpu_hour=float(priced.cpu_hour),
        gpu_hour=float(priced.gpu_hour),
    )
    counted = {each.stage: each.rows.value for each in plan.stages if each.rows is not None}
    places = {
        stage: place_of(stage, declared, settings, counted.get(GROWS_WITH.get(stage, stage), 0.0))
        for stage, declared in chain.stages.items()
    }
    lines = [_stage(each, fates.get(each.stage), places[each.stage]) for each in plan.stages]
    return {
        "model": name,
        "as_of": night.as_of.isoformat(),
        "nights": len(before),
        "level": LEVEL,
        "prices": {"cpu_hour": float(priced.cpu_hour), "gpu_hour": float(priced.gpu_hour), "currency": priced.currency},
        "stages": lines,
        "total": _total(plan),
    }


def _stage(plan: StagePlan, fate: Fate | None, where: str) -> dict[str, Any]:
    return {
        "stage": plan.stage,
        "reused": plan.reused,
        "why": fate.why if fate is not None else "the number of rows is given by hand",
        "rows": None if plan.rows is None else asdict(plan.rows),
        "minutes": asdict(plan.seconds.times(MINUTE)),
        "cpu_seconds": asdict(plan.cpu_seconds),
        "gpu_seconds": asdict(plan.gpu_seconds),
        "peak_memory": asdict(plan.peak_memory),
        "bytes_written": asdict(plan.bytes_written),
        "cost": asdict(plan.cost),
        "where": where,
        "nights": plan.nights,
    }


def _total(plan: Plan) -> dict[str, Any]:
    return {
        "between_minutes": asdict(plan.between.times(MINUTE)),
        "minutes": asdict(plan.seconds.times(MINUTE)),
        "peak_memory": asdict(plan.peak_memory),
        "cost": asdict(plan.cost),
    }


def header(facts: Mapping[str, Any]) -> list[str]:
    """Return the header of the table."""
    return [
        "stage",
        "re-used",
        "rows",
        "minutes",
        "peak GB",
        f"cost {facts['prices']['currency']}",
        "from",
        "where",
        "why",
    ]


def rows_of(facts: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield the lines of the table, the sum as the last."""
    for each in facts["stages"]:
        yield [
            each["stage"],
            "yes" if each["reused"] else "no",
            "-" if each["rows"] is None else f"{each['rows']['value']:,.0f}",
            _told(each["minutes"]),
            _told(each["peak_memory"], GB),
            _told(each["cost"]),
            f"{each['nights']} night{'' if each['nights'] == 1 else 's'}" if each["nights"] else "curves",
            each["where"],
            each["why"],
        ]
    total = facts["total"]
    yield ["between", "-", "-", _told(total["between_minutes"]), "-", "-", "-", "-", "outside the stages"]
    yield [
        "all",
        "-",
        "-",
        _told(total["minutes"]),
        _told(total["peak_memory"], GB),
        _told(total["cost"]),
        "-",
        "-",
        "",
    ]


def _told(value: Mapping[str, float], unit: float = 1.0) -> str:
    ends = [f"{value[end] * unit:.3g}" for end in ("value", "low", "high")]
    return ends[0] if len({*ends}) == 1 else f"{ends[0]} ({ends[1]} to {ends[2]})"
