"""What Airflow's own ``schedule`` takes is taken; what no night would ever follow is refused when the file is read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from aimass_airflow.assets import drift_of
from aimass_airflow.schedules import PRESETS, or_on, schedule_of
from airflow.assets.evaluation import AssetEvaluator
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, DeltaTriggerTimetable
from airflow.serialization.definitions.assets import SerializedAssetUniqueKey
from airflow.serialization.serialized_objects import DagSerialization
from dateutil.relativedelta import relativedelta

from pipelines.errors import SpecError

TIMES = CronTriggerTimetable("0 2 * * *", timezone="UTC")


@pytest.mark.parametrize("schedule", ["0 2 * * *", "*/15 3-5 * * mon-fri", *PRESETS])
def test_cron_and_presets_are_in_utc(schedule: str) -> None:
    made = schedule_of(schedule)
    assert isinstance(made, CronTriggerTimetable)
    assert str(made.timezone) == "UTC"


@pytest.mark.parametrize(
    "schedule",
    [
        None,
        "@once",
        "@continuous",
        timedelta(hours=6),
        relativedelta(months=1),
        CronTriggerTimetable("0 2 * * *", timezone="Europe/Berlin"),
        DeltaTriggerTimetable(timedelta(hours=6)),
        Asset("orders"),
        [Asset("orders"), Asset("prices")],
        Asset("orders") | Asset("prices"),
    ],
    ids=repr,
)
def test_everything_else_is_passed_on_as_it_is(schedule: Any) -> None:
    assert schedule_of(schedule) is schedule


@pytest.mark.parametrize(
    ("schedule", "named"),
    [
        ("0 25 * * *", "five fields"),
        ("02:00", "five fields"),
        ("@dayly", "@daily"),
        (timedelta(0), "longer than nothing"),
        (timedelta(hours=-1), "longer than nothing"),
        (CronTriggerTimetable("0 25 * * *", timezone="UTC"), "five fields"),
        (CronTriggerTimetable("0 2 * * *", timezone="Europe/Berln"), "Europe/Berlin"),
        (7, "a cron expression"),
        ([], "an asset"),
        (["orders"], "an asset"),
    ],
    ids=str,
)
def test_what_is_none_is_refused_and_said_how(schedule: Any, named: str) -> None:
    with pytest.raises(SpecError, match="this is no schedule") as caught:
        schedule_of(schedule)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("schedule", "alone"),
    [
        (None, False),
        ("0 2 * * *", False),
        ("@daily", False),
        (timedelta(hours=6), False),
        (relativedelta(months=1), False),
        (CronTriggerTimetable("0 2 * * *", timezone="Europe/Berlin"), False),
        (Asset("orders"), True),
        ([Asset("orders"), Asset("prices")], False),
        (AssetOrTimeSchedule(timetable=TIMES, assets=Asset("orders")), True),
    ],
    ids=str,
)
def test_drift_starts_a_run_beside_the_schedule(schedule: Any, alone: bool) -> None:
    drift = drift_of("demo")
    with DAG("retrain_demo", schedule=or_on(schedule_of(schedule), drift)) as dag:
        pass
    kept = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).timetable
    condition, evaluator = kept.asset_condition, AssetEvaluator(None)
    assert evaluator.run(condition, {SerializedAssetUniqueKey(drift.name, drift.uri): True})
    assert evaluator.run(condition, {SerializedAssetUniqueKey("orders", "orders"): True}) is alone
    times = isinstance(dag.timetable, AssetOrTimeSchedule)
    assert times is isinstance(schedule, str | timedelta | relativedelta | CronTriggerTimetable | AssetOrTimeSchedule)


@pytest.mark.parametrize("schedule", ["@once", "@continuous"])
def test_drift_does_not_go_with_what_runs_once_or_always(schedule: str) -> None:
    with pytest.raises(SpecError, match="a run on drift"):
        or_on(schedule_of(schedule), drift_of("demo"))
