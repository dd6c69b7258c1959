"""O1, O2, O3, O5: quiet when all is well, quick and specific when not.

AIMASS_FULL=1 pytest tests/faults/test_o1_o2_monitor.py -s    # all windows; prints the rates
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from monitored import Monitored

from pipelines.evaluation.report.reference_distribution import numbers, reference
from pipelines.monitoring.drift.bins import Bins
from pipelines.monitoring.drift.judge import Column, Limits, judge
from pipelines.monitoring.drift.verdict import KINDS, verdict
from pipelines.monitoring.heartbeat import last_beat, overdue
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.stage import monitor
from pipelines.settings import Settings

pytestmark = pytest.mark.fault

FULL = bool(os.environ.get("AIMASS_FULL"))
WINDOWS = 200 if FULL else 15
TRIALS = 200 if FULL else 6
TICKS = 30 if FULL else 15
TRAINING = 4_000
SPEC = MonitorSpec()
LIMITS = Limits(SPEC.psi_threshold, SPEC.psi_gross, SPEC.false_discovery_rate, SPEC.surge)
Maker = Callable[[np.random.Generator, int], pd.DataFrame]


def rows(random: np.random.Generator, count: int, alike: int = 1) -> pd.DataFrame:
    """Make 30 columns: numbers of several shapes, few categories, many categories; each in runs of ``alike`` rows."""
    runs = -(-count // alike)

    def near(values: Any) -> Any:
        return np.repeat(np.asarray(values), alike)[:count]

    made: dict[str, Any] = {}
    for number in range(4):
        made[f"normal{number}"] = near(random.normal(size=runs))
        made[f"long{number}"] = near(random.lognormal(3, 1, size=runs))
        made[f"small{number}"] = near(random.poisson(2, size=runs).astype(float))
        made[f"few{number}"] = near(random.choice(list("abc"), p=[0.6, 0.3, 0.1], size=runs))
        many = random.geometric(0.04, size=runs)
        made[f"many{number}"] = near([f"c{value}" for value in many])
        gaps = random.normal(size=runs)
        gaps[random.random(runs) < 0.02] = np.nan
        made[f"holes{number}"] = near(gaps)
    for number in range(4):
        made[f"flag{number}"] = near(random.choice(["no", "yes"], p=[0.97, 0.03], size=runs))
    made["flat"] = near(random.integers(0, 500, size=runs).astype(float))
    made["zip"] = near([f"z{value}" for value in random.integers(0, 300, size=runs)])
    return pd.DataFrame(made)


def bins_of(frame: pd.DataFrame) -> dict[str, Bins]:
    return {name: Bins.of(entry) for name, entry in reference(frame, list(frame)).items()}


def window(bins: Mapping[str, Bins], frame: pd.DataFrame, past: list[dict[str, Any]]) -> dict[str, Any]:
    columns = {
        name: Column(one, one.codes(frame[name]).astype(np.int16)) for name, one in bins.items() if name in frame
    }
    figures = judge(columns, [each["columns"] for each in past], LIMITS)
    return {"columns": figures, "verdict": verdict(figures, past)}


def alarms(count: int, make: Maker, windows: int = WINDOWS, seed: int = 0) -> list[tuple[int, str, str]]:
    """Return the alarms of stationary windows: each time that a column begins to count."""
    random = np.random.default_rng(seed)
    bins = bins_of(rows(random, TRAINING))
    past: list[dict[str, Any]] = []
    fired = []
    for number in range(windows):
        found = window(bins, make(random, count), past[-20:])
        before = past[-1]["verdict"] if past else {kind: [] for kind in KINDS}
        fired += [(number, kind, name) for kind in KINDS for name in found["verdict"][kind] if name not in before[kind]]
        past.append(found)
    return fired


@pytest.mark.parametrize("count", [500, 2_000])
@pytest.mark.parametrize("alike", [1, 10, 25])
def test_o1_stationary_windows_stay_quiet(count: int, alike: int) -> None:
    fired = alarms(count, lambda random, many: rows(random, many, alike))
    print(f"O1 n = {count}, runs of {alike}: {len(fired)} alarms in {WINDOWS} windows x 30 columns {fired[:5]}")
    assert len(fired) <= 2, fired


def test_o1_traffic_that_wanders_slowly_stays_quiet() -> None:
    def wandering(random: np.random.Generator, many: int) -> pd.DataFrame:
        made = rows(random, many)
        for name in [f"normal{number}" for number in range(4)]:
            steps = random.normal(size=many)
            for place in range(1, many):
                steps[place] = 0.9 * steps[place - 1] + np.sqrt(1 - 0.81) * steps[place]
            made[name] = steps
        return made

    for count in (500, 2_000):
        fired = alarms(count, wandering)
        print(f"O1 n = {count}, AR(1) of 0.9: {len(fired)} alarms in {WINDOWS} windows {fired[:5]}")
        assert len(fired) <= 2, fired


def half_a_sigma(frame: pd.DataFrame, _random: np.random.Generator) -> str:
    frame["normal0"] += 0.5
    return "normal0"


def new_category(frame: pd.DataFrame, random: np.random.Generator) -> str:
    frame["few0"] = frame["few0"].where(random.random(len(frame)) >= 0.05, "new")
    return "few0"


def nulls_times_five(frame: pd.DataFrame, random: np.random.Generator) -> str:
    frame["holes0"] = frame["holes0"].where(random.random(len(frame)) >= 0.08 / 0.98)
    return "holes0"


def unit_changed(frame: pd.DataFrame, _random: np.random.Generator) -> str:
    frame["long0"] *= 1.6
    return "long0"


@pytest.mark.parametrize("plant", [half_a_sigma, new_category, nulls_times_five, unit_changed])
@pytest.mark.parametrize("count", [500, 2_000])
def test_o2_what_changed_is_found_within_two_windows(plant: Any, count: int) -> None:
    random = np.random.default_rng(1)
    bins = bins_of(rows(random, TRAINING))
    found = others = 0
    for _ in range(TRIALS):
        past = [window(bins, rows(random, count), [])]
        fired: set[str] = set()
        for _ in range(2):
            frame = rows(random, count)
            name = plant(frame, random)
            past.append(window(bins, frame, past))
            fired |= {column for kind in KINDS for column in past[-1]["verdict"][kind]}
        found += name in fired
        others += bool(fired - {name})
    print(f"O2 {plant.__name__}, n = {count}: {found} of {TRIALS} found, other columns named in {others}")
    assert found >= 0.95 * TRIALS or count < 2_000
    assert found >= 0.8 * TRIALS
    assert others <= max(1, 0.02 * TRIALS)


def test_o2_shifted_predictions_are_found() -> None:
    random = np.random.default_rng(2)
    bins = Bins.of(numbers(random.beta(2, 5, size=2_000), "prediction"))
    found = 0
    for _ in range(TRIALS):
        past: list[dict[str, Any]] = []
        for _ in range(2):
            codes = bins.codes(pd.Series(random.beta(2.8, 5, size=2_000)))
            figures = judge({"(prediction)": Column(bins, codes)}, [], LIMITS)
            past.append({"columns": figures, "verdict": verdict(figures, past)})
        found += "(prediction)" in past[-1]["verdict"]["drift"]
    print(f"O2 predictions: {found} of {TRIALS} found")
    assert found >= 0.95 * TRIALS


NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def model(home: Settings, make_night: Callable[..., Any]) -> Monitored:
    return Monitored(home, make_night, few_columns(0, 3_000))


def few_columns(seed: int, count: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    made = {"score": random.normal(size=count)} | {f"n{number}": random.normal(size=count) for number in range(30)}
    return pd.DataFrame(made)


def look(model: Monitored, now: datetime, **spec: Any) -> dict[str, Any]:
    found = monitor(model.settings, now, MonitorSpec(max_age_days=60, **spec), lambda _address: "")
    return {finding.kind: finding for finding in found}


def lines(model: Monitored, kind: str) -> list[dict[str, Any]]:
    path = model.settings.logs / "alerts.log"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in found if line["kind"] == kind]


def test_o1_fewer_than_500_rows_say_insufficient_data(model: Monitored) -> None:
    model.ask(few_columns(1, 499), NOW - timedelta(hours=1))
    found = look(model, NOW)["drift"]
    assert found.state == "unknown"
    assert "insufficient data: 499 rows" in found.message
    model.ask(few_columns(2, 1), NOW - timedelta(minutes=30))
    assert look(model, NOW)["drift"].state == "ok"


def test_o3_thirty_shifted_columns_are_one_alert_and_a_lasting_one_is_said_once(model: Monitored) -> None:
    start = NOW - timedelta(days=2)
    for tick in range(TICKS):
        at = start + timedelta(minutes=15 * tick)
        model.ask(few_columns(tick, 500) + (2.0 if tick < 2 * TICKS // 3 else 0.0), at)
        look(model, at + timedelta(minutes=1))
    states = [line["state"] for line in lines(model, "drift")]
    assert states[0] == "firing"
    assert states[-1] == "resolved"
    assert states.count("firing") == states.count("resolved") == 1
    assert "32 of 32 columns shifted" in lines(model, "drift")[0]["message"]


def test_o3_a_condition_that_comes_and_goes_twenty_times_is_said_at_most_twice(model: Monitored) -> None:
    start = NOW - timedelta(days=2)
    for tick in range(40):
        at = start + timedelta(minutes=61 * tick)
        model.ask(few_columns(tick, 60), at, status=503 if tick % 2 else 200)
        look(model, at + timedelta(minutes=1), drift_window_hours=1)  # too few rows to judge their columns again
    states = [line["state"] for line in lines(model, "errors")]
    assert states.count("firing") <= 2
    assert len(states) <= 3


def test_o5_a_torn_log_costs_its_file_alone_and_a_monitor_that_stopped_is_noticed(model: Monitored) -> None:
    model.ask(few_columns(1, 600), NOW - timedelta(hours=2))
    model.ask(few_columns(2, 1), NOW - timedelta(hours=1))
    torn = max(model.settings.storage.glob("predictions/demo/*/*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    torn.write_bytes(torn.read_bytes()[:-50])
    assert overdue(model.settings, NOW).state == "alert"
    found = look(model, NOW)
    assert found["log"].state == "ok"
    assert found["log"].value == 1
    assert "600 rows" in found["drift"].message
    assert overdue(model.settings, NOW + timedelta(minutes=29)).state == "ok"
    late = overdue(model.settings, NOW + timedelta(minutes=31))
    assert late.state == "alert"
    assert "last looked at" in late.message


def test_o5_a_health_endpoint_that_hangs_holds_the_monitor_for_its_limit_alone(model: Monitored) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        settings = model.settings.model_copy(update={"gateway_port": port})
        began = time.monotonic()
        found = {each.kind: each for each in monitor(settings, NOW, MonitorSpec(probe_seconds=0.5))}
    assert time.monotonic() - began < 10
    assert found["gateway"].state == "alert"
    assert "gave no answer" in found["gateway"].message
    assert last_beat(settings) == NOW
