"""The feed of flights is one function of seed and day; its tables fit together, and its late flights have causes."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipelines.local.demo_flights import ORIGINS, airports, flights, planes, simulate_flights

START = date(2026, 1, 5)


@pytest.fixture(scope="module")
def month() -> pd.DataFrame:
    return pd.concat([flights(START + timedelta(days=offset), seed=3) for offset in range(30)])


def test_a_day_depends_on_seed_and_day_alone(tmp_path: Path) -> None:
    long = simulate_flights(tmp_path / "long", START, 4, seed=1)
    short = simulate_flights(tmp_path / "short", START + timedelta(days=2), 1, seed=1)
    other = simulate_flights(tmp_path / "other", START, 1, seed=2)
    assert [path.name for path in short] == [
        "planes.csv",
        "airports.csv",
        "airlines.csv",
        "flights-2026-01-07.csv",
        "weather-2026-01-07.csv",
    ]
    assert short[3].read_bytes() == long[7].read_bytes()
    assert other[3].read_bytes() != long[3].read_bytes()


def test_tables_fit_together(month: pd.DataFrame, tmp_path: Path) -> None:
    assert set(month["tailnum"]) <= set(planes(3)["tailnum"])
    assert set(month["dest"]) <= set(airports(3)["faa"])
    assert set(month["origin"]) == set(ORIGINS)
    assert not month.duplicated(["year", "month", "day", "carrier", "flight", "origin"]).any()
    for table, key in ((planes(3), "tailnum"), (airports(3), "faa")):
        assert table[key].is_unique
    weather = pd.read_csv(simulate_flights(tmp_path, START, 1)[-1])
    assert len(weather) == 72
    assert not weather.duplicated(["origin", "hour"]).any()


def test_cancelled_flights_have_no_times_and_storms_make_late(month: pd.DataFrame) -> None:
    cancelled = month["arr_delay"].isna()
    assert 0.005 < cancelled.mean() < 0.06
    assert month.loc[cancelled, ["dep_time", "dep_delay", "arr_time", "air_time", "hour"]].isna().all(axis=None)
    late = (month["arr_delay"] >= 15).where(~cancelled)
    by_day = late.groupby(month["day"]).mean()
    assert 0.08 < late.mean() < 0.4
    assert by_day.max() > 2 * by_day.median()
    departed = month[~cancelled]
    clock = departed["dep_time"] // 100 * 60 + departed["dep_time"] % 100
    scheduled = (clock - departed["dep_delay"]) % 1440
    assert scheduled.between(6 * 60, 22 * 60).all()
