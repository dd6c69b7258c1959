"""What Airflow's own ``schedule`` takes is taken; what no night would ever follow is refused when the file is read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from aimass_airflow.schedules import PRESETS, schedule_of
from airflow.sdk import Asset, CronTriggerTimetable, DeltaTriggerTimetable
from dateutil.relativedelta import relativedelta

from pipelines.errors import SpecError


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
