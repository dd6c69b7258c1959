from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from pipelines.monitoring.burn_rate import availability
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import Traffic

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def found(minutes: list[float], failed: list[bool]):
    """Judge requests so many minutes ago."""
    rows = pd.DataFrame(
        {
            "request_id": [f"r{number}" for number in range(len(minutes))],
            "at": [NOW - timedelta(minutes=each) for each in minutes],
            "status": [503 if each else 200 for each in failed],
        }
    ).sort_values("at")
    return availability(MonitorSpec(), "demo", Traffic(rows, (), 0), NOW)


def steady(share: float, begun: float, ended: float = 0.0):
    """Six hours of requests, ten a minute; between two times ago every so many failed."""
    ago = [number / 10 for number in range(3_600)]
    return ago, [ended <= each <= begun and number % round(1 / share) == 0 for number, each in enumerate(ago)]


def test_a_fast_burn_is_told_with_how_long_the_budget_lasts():
    finding = found(*steady(0.05, begun=60))
    assert finding.state == "alert"
    assert "94.84% of 601 requests were served in 60 minutes: 52 times as many failed" in finding.message
    assert "59 times in the last 5 minutes" in finding.message
    assert "used up in 0.6" in finding.message


def test_a_slow_burn_shows_in_six_hours_alone():
    finding = found(*steady(0.01, begun=360))
    assert finding.state == "alert"
    assert "in 6 hours: 10 times" in finding.message


@pytest.mark.parametrize(
    ("share", "begun", "ended"),
    [(0.05, 60, 31), (0.001, 360, 0)],
    ids=["it is over", "no more than the objective allows"],
)
def test_what_is_over_or_allowed_is_no_alert(share: float, begun: float, ended: float):
    assert found(*steady(share, begun, ended)).state == "ok"


def test_few_requests_or_a_single_failure_are_not_judged():
    assert found([1.0] * 49, [True] * 49).state == "unknown"
    assert found([1.0] * 60, [True, *[False] * 59]).state == "ok"


def test_a_request_of_many_rows_counts_once():
    rows = pd.DataFrame({"request_id": ["one"] * 100, "at": [NOW] * 100, "status": [503] * 100})
    assert availability(MonitorSpec(), "demo", Traffic(rows, (), 0), NOW).state == "unknown"
