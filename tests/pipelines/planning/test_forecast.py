"""The plan of a night: sums, shares of rows, re-used stages; and how well it foretells ten recorded nights."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest

from pipelines import stages
from pipelines.planning.curves import CURVES, GROWS_WITH, SORTS
from pipelines.planning.forecast import Plan, StagePlan, forecast, rows_of
from pipelines.planning.growth import Estimate
from pipelines.planning.history import PastNight, Run, Search, points, work_of

CHAIN = [stage.name for stage in stages.NIGHT]
NIGHTS = Path(__file__).parent / "nights.json"
"""Nights that were run with `aimass run --local --trials 4` on a table that grew from 20,000 to 52,000 rows."""


def recorded() -> list[PastNight]:
    return [
        PastNight(**{**each, "as_of": datetime.fromisoformat(each["as_of"]), "runs": {
            stage: Run(**run) for stage, run in each["runs"].items()}})
        for each in json.loads(NIGHTS.read_text())
    ]  # fmt: skip


def by_stage(plan: Plan) -> dict[str, StagePlan]:
    return {each.stage: each for each in plan.stages}


def made_up(count: int, grows: float = 1.2, **changed: object) -> list[PastNight]:
    """Nights of 10,000 rows and more: ingest 2 s + 1 s per 10,000 rows, the search 3 s per 1,000 rows and trial."""
    nights = []
    for number in range(count):
        rows = round(10_000 * grows**number)
        runs = {
            "ingest": Run(rows, 2 + rows / 1e4, cpu_seconds=4 + rows / 5e3, gpu_seconds=0.0, peak_memory=500_000_000),
            "sample": Run(rows // 2, 1.0),
            "clean": Run(rows // 4, 2.0),
            "split": Run(rows // 5, 1.0),
            "features": Run(rows // 5, 3.0),
            "tune": Run(8, rows // 5 * 8 * 3e-3, cpu_seconds=100.0, gpu_seconds=50.0, peak_memory=10**9),
        }
        at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=number)
        whole = sum(run.seconds for run in runs.values()) + 10
        nights.append(replace(PastNight(at, whole, runs, source_bytes=rows * 50, trials=8), **changed))
    return nights


def test_stages_and_curves_are_those_of_a_night() -> None:
    assert GROWS_WITH.keys() <= set(CHAIN)
    assert set(GROWS_WITH.values()) <= set(CHAIN)
    assert CURVES.keys() <= set(CHAIN)
    assert set(SORTS) <= GROWS_WITH.keys()


def test_rows_follow_the_shares_of_earlier_nights() -> None:
    rows = rows_of(made_up(3), CHAIN, Estimate(100_000, 90_000, 110_000), {})
    assert {stage: each.value for stage, each in rows.items() if stage != "validate"} == {
        "ingest": 100_000, "sample": 50_000, "clean": 25_000, "split": 20_000, "features": 20_000,
    }  # fmt: skip
    assert (rows["features"].low, rows["features"].high) == (18_000, 22_000)
    held = rows_of(made_up(3), CHAIN, Estimate.exactly(100_000), {"sample": 7_000})
    assert held["features"].value == pytest.approx(2_800)


def test_minutes_follow_rows_and_trials_and_are_summed() -> None:
    nights = made_up(8)
    plan = forecast(nights, list(CHAIN), Estimate.exactly(60_000), Search(trials=16), cpu_hour=3.6, gpu_hour=36.0)
    found = by_stage(plan)
    assert found["ingest"].seconds.value == pytest.approx(8.0, rel=0.02)
    assert found["tune"].seconds.value == pytest.approx(12_000 * 16 * 3e-3, rel=0.02)
    assert found["tune"].rows == Estimate.exactly(16.0)
    assert found["tune"].cost.value == pytest.approx(100 * 1e-3 + 50 * 1e-2)
    assert found["ingest"].nights == 8
    assert found["evaluate"].nights == 0
    assert plan.between.value == pytest.approx(10.0)
    assert plan.seconds.value == pytest.approx(10.0 + sum(each.seconds.value for each in plan.stages))
    assert plan.seconds.low < plan.seconds.value < plan.seconds.high
    assert plan.peak_memory.value == max(each.peak_memory.value for each in plan.stages)
    assert plan.cost.value == pytest.approx(sum(each.cost.value for each in plan.stages))


def test_a_stage_that_is_re_used_takes_what_re_used_ones_took() -> None:
    nights = made_up(6)
    again = replace(nights[-1], runs={**nights[-1].runs, "ingest": Run(25_000, 0.7, reused=True)})
    plan = forecast([*nights, again], list(CHAIN), Estimate.exactly(1e6), Search(trials=8), reused={"ingest": 25_000})
    found = by_stage(plan)["ingest"]
    assert (found.reused, found.nights, found.seconds.value) == (True, 1, pytest.approx(0.7))
    assert found.rows == Estimate.exactly(25_000)
    assert by_stage(plan)["sample"].rows == Estimate.exactly(12_500)
    assert points([*nights, again], "ingest", "seconds", Search()) == points(nights, "ingest", "seconds", Search())


def test_a_budget_in_seconds_is_what_the_search_takes() -> None:
    assert work_of("tune", {"features": 5e6}, Search(seconds=60.0)) == 60.0
    nothing = by_stage(forecast([], CHAIN, Estimate.exactly(1e6), Search(seconds=600.0)))
    assert 400 < nothing["tune"].seconds.value + nothing["ensemble"].seconds.value < 700
    other = [replace(night, trials=None, budget_seconds=60.0) for night in made_up(4)]
    assert points(other, "tune", "seconds", Search(trials=8)) == []
    assert len(points(other, "tune", "seconds", Search(seconds=30.0))) == 4


def test_what_is_not_known_of_the_rows_widens_the_interval() -> None:
    nights = made_up(8)
    sure = forecast(nights, CHAIN, Estimate.exactly(40_000), Search(trials=8))
    unsure = forecast(nights, CHAIN, Estimate(40_000, 20_000, 80_000), Search(trials=8))
    assert unsure.seconds.value == sure.seconds.value
    assert unsure.seconds.high > sure.seconds.high
    assert unsure.seconds.low < sure.seconds.low


def test_without_a_night_curves_tell_and_more_rows_take_longer() -> None:
    small, large = (forecast([], CHAIN, Estimate.exactly(rows), Search(trials=8)) for rows in (1e6, 1e8))
    assert all(each.nights == 0 for each in small.stages)
    assert small.seconds.value < large.seconds.value
    assert small.seconds.high > 1.5 * small.seconds.value
    work = {stage: each.rows.value for stage, each in by_stage(large).items() if each.rows is not None}
    assert work["features"] == pytest.approx(0.98 * 0.9 * 1e8)


def test_after_five_recorded_nights_the_median_error_of_minutes_is_a_quarter_at_most() -> None:
    nights = recorded()
    assert len(nights) >= 8
    errors, held = [], 0
    for number in range(5, len(nights)):
        tonight = nights[number]
        read = Estimate.exactly(tonight.rows()["ingest"])
        plan = forecast(nights[:number], list(tonight.runs), read, tonight.search())
        errors.append(abs(plan.seconds.value - tonight.seconds) / tonight.seconds)
        held += plan.seconds.low <= tonight.seconds <= plan.seconds.high
    assert median(errors) <= 0.25, errors
    assert held >= len(errors) / 2


def test_recorded_memory_and_cpu_are_foretold_too() -> None:
    nights = recorded()
    errors = []
    for number in range(5, len(nights)):
        found = by_stage(forecast(nights[:number], CHAIN, Estimate.exactly(nights[number].rows()["ingest"]), Search(4)))
        for stage, run in nights[number].runs.items():
            assert run.peak_memory is not None
            errors.append(abs(found[stage].peak_memory.value - run.peak_memory) / run.peak_memory)
    assert median(errors) <= 0.25
