"""The second demo feed: an airline's flights in five tables, two of them with one file per day.

The columns are those of the well-known flights tables: what is known before departure, and what only shows after it
(actual times, delays). Every day is a function of (seed, day) alone. A flight is late more often in bad weather, in
the evening, with some carriers and old planes; one in fifty is cancelled and has no times at all.
"""

from __future__ import annotations

import math
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.artifacts import write_atomic
from pipelines.settings import make_private

ORIGINS = ("EWR", "JFK", "LGA")
CARRIERS = {
    "AA": "American Airlines",
    "B6": "JetBlue Airways",
    "DL": "Delta Air Lines",
    "EV": "ExpressJet Airlines",
    "MQ": "Envoy Air",
    "UA": "United Air Lines",
    "US": "US Airways",
    "WN": "Southwest Airlines",
}
MAKERS = ("AIRBUS", "BOEING", "BOMBARDIER", "EMBRAER")
PLANES, AIRPORTS = 400, 48


def simulate_flights(folder: Path, start: date, days: int, seed: int = 0, rows_per_day: int = 250) -> list[Path]:
    """Write ``flights-`` and ``weather-YYYY-MM-DD.csv`` of ``days`` days and the three small tables; return the paths.

    Parameters
    ----------
    rows_per_day
        Mean number of flights.
    """
    make_private(folder)
    written = []
    for name, table in (("planes", planes(seed)), ("airports", airports(seed)), ("airlines", airlines())):
        written.append(_write(folder / f"{name}.csv", table))
    for offset in range(days):
        day = start + timedelta(days=offset)
        written.append(_write(folder / f"flights-{day.isoformat()}.csv", flights(day, seed, rows_per_day)))
        written.append(_write(folder / f"weather-{day.isoformat()}.csv", weather(day, seed)))
    return written


@lru_cache(maxsize=4)
def planes(seed: int = 0) -> pd.DataFrame:
    """Return the planes: tailnum, year (built; some unknown), manufacturer, engines, seats."""
    rng = np.random.default_rng([seed, 1])
    maker = rng.choice(len(MAKERS), PLANES, p=(0.3, 0.4, 0.15, 0.15))
    year = np.clip(rng.normal(2002, 6, PLANES).round(), 1975, 2013).astype(int)
    return pd.DataFrame(
        {
            "tailnum": [f"N{number}{MAKERS[index][0]}Q" for number, index in enumerate(maker.tolist(), start=100)],
            "year": pd.array(year, dtype="Int64"),
            "manufacturer": np.array(MAKERS)[maker],
            "engines": np.where(rng.random(PLANES) < 0.98, 2, 4),
            "seats": np.array([180, 170, 70, 50])[maker] + rng.integers(-20, 20, PLANES),
        }
    ).assign(year=lambda table: table["year"].mask(rng.random(PLANES) < 0.03))


@lru_cache(maxsize=4)
def airports(seed: int = 0) -> pd.DataFrame:
    """Return the destinations: faa, name, lat, lon, alt (feet)."""
    rng = np.random.default_rng([seed, 2])
    codes = [f"{chr(65 + n // 6)}{chr(65 + n % 6)}{chr(75 + n % 13)}" for n in range(AIRPORTS)]
    return pd.DataFrame(
        {
            "faa": codes,
            "name": [f"{code} International" for code in codes],
            "lat": rng.uniform(25, 48, AIRPORTS).round(4),
            "lon": rng.uniform(-122, -71, AIRPORTS).round(4),
            "alt": rng.gamma(1.2, 500, AIRPORTS).astype(int),
        }
    )


def airlines() -> pd.DataFrame:
    """Return the carriers: carrier, name."""
    return pd.DataFrame({"carrier": list(CARRIERS), "name": list(CARRIERS.values())})


@lru_cache(maxsize=16)
def weather(day: date, seed: int = 0) -> pd.DataFrame:
    """Return the hourly weather of one day at each origin; storms last a day and hit all origins."""
    rng = np.random.default_rng([seed, day.toordinal(), 3])
    season = math.sin(2 * math.pi * (day.timetuple().tm_yday - 110) / 365.25)
    storm = rng.random() < 0.25
    hours = np.tile(np.arange(24), len(ORIGINS))
    n = len(hours)
    peak = rng.uniform(8, 20)
    strength = storm * np.exp(-(((hours - peak) / 5) ** 2)) * rng.uniform(0.5, 1.5)
    wind = np.clip(7 + 12 * strength + rng.normal(0, 3, n), 0, None)
    temp = 52 + 22 * season + 7 * np.sin((hours - 9) / 24 * 2 * np.pi) + rng.normal(0, 2, n)
    visib = np.clip(10 - 6 * strength + rng.normal(0, 0.4, n), 0.2, 10)
    return pd.DataFrame(
        {
            "origin": np.repeat(ORIGINS, 24),
            "year": day.year,
            "month": day.month,
            "day": day.day,
            "hour": hours,
            "temp": temp.round(2),
            "humid": np.clip(60 + 30 * strength + rng.normal(0, 8, n), 10, 100).round(2),
            "wind_speed": wind.round(3),
            "precip": np.where(strength > 0.35, rng.gamma(1, 0.1, n) * strength, 0.0).round(3),
            "pressure": np.where(rng.random(n) < 0.1, np.nan, (1016 - 12 * strength + rng.normal(0, 1.5, n)).round(1)),
            "visib": visib.round(1),
        }
    )


def flights(day: date, seed: int = 0, rows_per_day: int = 250) -> pd.DataFrame:
    """Return one day's flights as known at the end of the day."""
    rng = np.random.default_rng([seed, day.toordinal(), 4])
    n = max(20, int(rng.poisson(rows_per_day * (0.85 if day.weekday() == 5 else 1.0))))
    origin, carrier = rng.integers(0, 3, n), rng.integers(0, len(CARRIERS), n)
    dest, plane = rng.integers(0, AIRPORTS, n), rng.integers(0, PLANES, n)
    scheduled = np.sort(rng.integers(6 * 60, 22 * 60, n))
    hour = scheduled // 60
    air = weather(day, seed)
    position = origin * 24 + hour
    storm = (10 - air["visib"].to_numpy()[position]) / 6
    wind = air["wind_speed"].to_numpy()[position]
    effect = _effects(seed)
    age = 2014 - pd.to_numeric(planes(seed)["year"], errors="coerce").fillna(2002).to_numpy(dtype=float)[plane]
    risk = (
        -2.3
        + 1.6 * storm
        + 0.05 * (wind - 7)
        + 0.14 * (hour - 13)
        + 0.02 * (age - 12)
        + effect["carrier"][carrier]
        + effect["dest"][dest]
        + 0.25 * (day.weekday() in (3, 4))
    )
    late = rng.random(n) < 1 / (1 + np.exp(-risk))
    dep_delay = np.where(late, 15 + rng.gamma(1.3, 30, n), rng.normal(-3, 5, n)).round().astype(int)
    lat, lon = (airports(seed)[name].to_numpy()[dest] for name in ("lat", "lon"))
    distance = (60 * np.hypot(lat - 40.7, (lon + 73.9) * 0.76) * 1.15).round().astype(int) + 40
    air_time = (distance / 7.5 + 18 + rng.normal(0, 6, n)).round().astype(int)
    arr_delay = dep_delay + rng.normal(-4, 10, n).round().astype(int)
    left = (scheduled + dep_delay) % 1440
    landed = (left + air_time + 20) % 1440
    table = pd.DataFrame(
        {
            "year": day.year,
            "month": day.month,
            "day": day.day,
            "dep_time": left // 60 * 100 + left % 60,
            "dep_delay": dep_delay,
            "arr_time": landed // 60 * 100 + landed % 60,
            "arr_delay": arr_delay,
            "carrier": np.array(list(CARRIERS))[carrier],
            "tailnum": planes(seed)["tailnum"].to_numpy()[plane],
            "flight": rng.permutation(np.arange(1000, 1000 + n)),
            "origin": np.array(ORIGINS)[origin],
            "dest": airports(seed)["faa"].to_numpy()[dest],
            "air_time": air_time,
            "distance": distance,
            "hour": left // 60,
            "minute": left % 60,
        }
    )
    after = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "hour", "minute"]
    cancelled = rng.random(n) < 0.01 + 0.06 * np.clip(storm, 0, 1)
    table[after] = table[after].astype("Int64")
    table.loc[cancelled, after] = pd.NA
    return table


@lru_cache(maxsize=4)
def _effects(seed: int) -> dict[str, NDArray[np.float64]]:
    """Return the fixed lateness of each carrier and destination."""
    rng = np.random.default_rng([seed, 5])
    return {"carrier": rng.normal(0, 0.5, len(CARRIERS)), "dest": rng.normal(0, 0.4, AIRPORTS)}


def _write(path: Path, table: pd.DataFrame) -> Path:
    write_atomic(path, table.to_csv(index=False, na_rep="NA", lineterminator="\n"))
    return path
