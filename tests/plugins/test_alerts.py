"""A failed night: closed, one alert, one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aimass_airflow.alerts import NightEnded, NightFailed
from receivers import WebServer, serving

from pipelines.artifacts import Night
from pipelines.errors import DataError
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.stage_context import close_night


def failed(night: str) -> Any:
    return {
        "dag_run": SimpleNamespace(run_id=night),
        "task": SimpleNamespace(task_id="data.clean"),
        "exception": DataError("too many bad rows", where="x.csv"),
    }


def test_one_alert_until_a_night_succeeds(home: Settings, make_night: Callable[..., Night]) -> None:
    ledger = Ledger.open(home)
    callback = NightFailed("demo")
    for name in ("manual__1", "manual__2"):
        ledger.open_night(make_night(name), "local")
        callback(failed(name))
        callback(failed(name))
    assert [night.state for night in ledger.nights("demo")] == ["failed", "failed"]
    assert [row.message for row in ledger.alerts()] == [
        "night manual__1 of demo failed in data.clean: too many bad rows where: x.csv"
    ]
    lines = [json.loads(line) for line in (home.logs / "alerts.log").read_text().splitlines()]
    assert [(line["state"], line["model"], line["key"]) for line in lines] == [("firing", "demo", "night")]
    assert (home.logs / "alerts.log").stat().st_mode & 0o077 == 0
    close_night(ledger, "demo", "manual__2")
    last = json.loads((home.logs / "alerts.log").read_text().splitlines()[-1])
    assert (last["state"], last["model"], last["key"]) == ("resolved", "demo", "night")


def test_run_that_failed_without_a_task(home: Settings, make_night: Callable[..., Night]) -> None:
    ledger = Ledger.open(home)
    ledger.open_night(make_night(), "platform")
    NightFailed("demo")({"run_id": "manual__1", "reason": "timed_out"})
    assert ledger.alerts()[0].message == "night manual__1 of demo failed: timed_out"


def test_success_closes_a_chain_without_release_only(home: Settings, make_night: Callable[..., Night]) -> None:
    ledger = Ledger.open(home)
    ledger.open_night(make_night(), "platform")
    NightEnded("demo")({"run_id": "manual__1"})
    assert ledger.night("demo", "manual__1").state == "success"
    ledger.close_night("demo", "manual__1", "failed")
    NightEnded("demo")({"run_id": "manual__1"})
    assert ledger.night("demo", "manual__1").state == "failed"


def test_a_failed_night_goes_through_the_channels_at_once(
    home: Settings, make_night: Callable[..., Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(home) as ledger:
        ledger.open_night(make_night(), "platform")
    with serving(WebServer()) as web:
        monkeypatch.setenv("AIMASS_ALERT_WEBHOOK", f"{web.address}/hook")
        NightFailed("demo")(failed("manual__1"))
        ((_, _, body),) = web.posts
    assert body["text"].startswith("[FIRING 1] demo: night")
