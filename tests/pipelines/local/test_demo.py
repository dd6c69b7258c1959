"""The demo: one day on with every good night, and a report that can be acted on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import UTC, date, datetime

import httpx
import pytest

from pipelines.artifacts import Night
from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.local import demo
from pipelines.settings import Settings


def test_a_day_further_after_a_good_night_only(home: Settings, make_night: Callable[..., Night]) -> None:
    first = demo.next_day(home)
    assert first == datetime(2026, 1, 31, 2, tzinfo=UTC)
    assert len(demo.feed_days(home)) == demo.FIRST_DAYS
    ledger = Ledger.open(home)
    ledger.open_night(make_night(name="loans", as_of=first.replace(tzinfo=None).isoformat()), "platform")
    ledger.close_night("loans", "manual__1", "failed")
    assert demo.next_day(home) == first
    ledger.close_night("loans", "manual__1", "success")
    assert demo.next_day(home) == datetime(2026, 2, 1, 2, tzinfo=UTC)
    assert demo.feed_days(home)[-1] == date(2026, 1, 31)


def test_the_feed_catches_up_with_a_later_night(home: Settings, make_night: Callable[..., Night]) -> None:
    demo.next_day(home)
    ledger = Ledger.open(home)
    ledger.open_night(make_night(name="loans", as_of="2026-02-10T08:30:00"), "platform")
    ledger.close_night("loans", "manual__1", "success")
    assert demo.next_day(home) == datetime(2026, 2, 11, 2, tzinfo=UTC)
    assert len(demo.feed_days(home)) == 41


def test_example_row_is_whole_and_typed(home: Settings) -> None:
    demo.extend_feed(home, 2)
    row = demo.example_row(home)
    assert "defaulted" not in row
    assert isinstance(row["age"], int)
    assert isinstance(row["debt_ratio"], float)
    assert all(value != "" for value in row.values())


class Gateway:
    """Responds to the second call."""

    def __init__(self, fail: int) -> None:
        self.fail = fail
        self.headers: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.headers.append(request.headers["authorization"])
        self.fail -= 1
        return httpx.Response(503 if self.fail >= 0 else 200, json={})


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Gateway]:
    def use(fail: int) -> Gateway:
        fake = Gateway(fail)
        real = httpx.Client
        monkeypatch.setattr(demo.httpx, "Client", lambda **_: real(transport=httpx.MockTransport(fake)))
        monkeypatch.setattr("time.sleep", lambda _: None)
        return fake

    return use


def test_curl_line_is_one_line_that_was_tried(home: Settings, gateway: Callable[[int], Gateway]) -> None:
    demo.extend_feed(home, 1)
    tried = gateway(1)
    ledger = Ledger.open(home)
    line = demo.curl_line(home, ledger)
    words = shlex.split(line)
    assert "\n" not in line
    assert words[:3] == ["curl", "-sS", "http://127.0.0.1:8000/v1/models/loans:predict"]
    assert json.loads(words[-1])["instances"] == [demo.example_row(home)]
    assert words[4] == f"Authorization: {tried.headers[-1]}"
    row = ledger.check_token(tried.headers[-1].removeprefix("Bearer "))
    assert row is not None
    assert row.scopes == ["predict:loans"]


def test_prediction_api_that_stays_silent_is_an_error(home: Settings, gateway: Callable[[int], Gateway]) -> None:
    demo.extend_feed(home, 1)
    gateway(10**9)
    with pytest.raises(AimassError, match="does not respond"):
        demo.curl_line(home, Ledger.open(home), seconds=0)


def test_report(home: Settings, make_night: Callable[..., Night], gateway: Callable[[int], Gateway]) -> None:
    demo.extend_feed(home, 1)
    gateway(0)
    ledger = Ledger.open(home)
    ledger.open_night(make_night(name="loans"), "platform")
    fence = ledger.begin_stage("loans", "manual__1", "ingest")
    ledger.finish_stage("loans", "manual__1", "ingest", fence, state="done", seconds=1.25, reused=True)
    ledger.close_night("loans", "manual__1", "success")
    lines = list(demo.report(home, ledger, "manual__1"))
    assert "  ingest         1.2 s  re-used" in lines
    assert any(str(home.secrets / "airflow_passwords.json") in line for line in lines)
    assert [line.startswith("curl ") for line in lines].count(True) == 1
    assert lines[-1].startswith("curl ")
