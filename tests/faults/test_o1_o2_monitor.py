"""O1, O2, O3, O5: quiet when all is well, quick and specific when not.

AIMASS_FULL=1 pytest tests/faults/test_o1_o2_monitor.py -s    # all windows; prints the rates
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.evaluation.report.reference_distribution import numbers, reference
from pipelines.monitoring.drift.bins import Bins
from pipelines.monitoring.drift.judge import Column, Limits, judge
from pipelines.monitoring.drift.verdict import KINDS, verdict
from pipelines.monitoring.spec import MonitorSpec

pytestmark = pytest.mark.fault

FULL = bool(os.environ.get("AIMASS_FULL"))
WINDOWS = 200 if FULL else 30
TRIALS = 200 if FULL else 10
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
