"""When a model is retrained: all that Airflow's own ``schedule`` takes, checked when the DAG file is imported."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from zoneinfo import available_timezones

from airflow.sdk import Asset, AssetAll, AssetOrTimeSchedule, CronTriggerTimetable, DeltaTriggerTimetable
from airflow.sdk.bases.timetable import BaseTimetable
from airflow.sdk.definitions.asset import BaseAsset
from dateutil.relativedelta import relativedelta

from pipelines.errors import SpecError
from pipelines.spec import did_you_mean

PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
ONCE = ("@once", "@continuous")
LATE = timedelta(minutes=2)
"""A night whose hour has passed no longer ago than this when the DAG appears runs at once."""
TAKEN = (
    'a cron expression in UTC ("0 2 * * *"), a preset ("@daily"), a timedelta, a timetable such as '
    'CronTriggerTimetable("0 2 * * *", timezone="Europe/Berlin"), an asset, a list of assets, or None'
)


def schedule_of(schedule: Any) -> Any:
    """Return what ``airflow.sdk.DAG`` is given for the ``schedule`` of a DAG file.

    A cron expression or preset is in UTC. Everything else is passed on as it is.

    Raises
    ------
    SpecError
        It is none of what Airflow takes, or holds no time that ever comes.
    """
    if isinstance(schedule, str) and schedule not in ONCE:
        _check_cron(schedule)
        return CronTriggerTimetable(schedule, timezone="UTC", run_immediately=LATE)
    if isinstance(schedule, timedelta) and schedule <= timedelta(0):
        raise _wrong(schedule, "an interval longer than nothing")
    if isinstance(schedule, BaseTimetable):
        _check_timetable(schedule)
    if schedule is None or isinstance(schedule, str | timedelta | relativedelta | BaseTimetable | BaseAsset):
        return schedule
    if isinstance(schedule, Collection) and schedule and all(isinstance(each, BaseAsset) for each in schedule):
        return schedule
    if _is_core_timetable(schedule):
        return schedule
    raise _wrong(schedule, TAKEN)


def or_on(schedule: Any, asset: Asset) -> Any:
    """Return a schedule of :func:`schedule_of` that an event of an asset starts a run of, too.

    Raises
    ------
    SpecError
        It starts no run a second time.
    """
    if schedule is None:
        return [asset]
    if isinstance(schedule, timedelta | relativedelta):
        schedule = DeltaTriggerTimetable(schedule)
    if isinstance(schedule, AssetOrTimeSchedule):
        return AssetOrTimeSchedule(timetable=schedule.timetable, assets=schedule.asset_condition | asset)
    if isinstance(schedule, BaseAsset):
        return schedule | asset
    if isinstance(schedule, Collection) and not isinstance(schedule, str):
        return AssetAll(*schedule) | asset
    if isinstance(schedule, BaseTimetable):
        return AssetOrTimeSchedule(timetable=schedule, assets=[asset])
    raise SpecError(
        "a run on drift does not go with this schedule",
        where="retrain_dag(on_drift=True)",
        seen=schedule,
        expected="times, an interval, assets, or None",
        cure="choose another schedule, or leave on_drift out",
    )


def _check_cron(text: str) -> None:
    from croniter import croniter

    if text.startswith("@"):
        if text not in PRESETS:
            raise _wrong(f"{text!r}{did_you_mean(text, PRESETS)}", f"one of {', '.join((*PRESETS, *ONCE))}")
    elif not croniter.is_valid(text):
        raise _wrong(repr(text), 'five fields: minute, hour, day, month, weekday, such as "0 2 * * *"')


def _check_timetable(timetable: BaseTimetable) -> None:
    expression, zone = getattr(timetable, "expression", None), getattr(timetable, "timezone", None)
    if isinstance(expression, str):
        _check_cron(expression)
    if isinstance(zone, str) and zone not in available_timezones():
        raise _wrong(f"the time zone {zone!r}{did_you_mean(zone, available_timezones())}", 'such as "Europe/Berlin"')


def _is_core_timetable(schedule: Any) -> bool:
    from airflow.timetables.base import Timetable

    return isinstance(schedule, Timetable)


def _wrong(seen: Any, expected: str) -> SpecError:
    return SpecError(
        "this is no schedule",
        where="retrain_dag(schedule=…)",
        seen=seen,
        expected=expected,
        cure="correct it at the end of the DAG file",
    )
