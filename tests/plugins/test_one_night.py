"""Nights of one model follow each other: who waits, who is refused, and who was killed and holds nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aimass_airflow import one_night
from aimass_airflow.one_night import alone, lock_of, turn
from airflow.sdk.exceptions import AirflowRescheduleException

from pipelines.artifacts import Night
from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.locks import wait_for_lock
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="regression", target="y")


def night(name: str, platform: bool = True) -> Night:
    return Night(model=MODEL, night=name, as_of=datetime(2026, 3, 1, tzinfo=UTC), platform=platform)


def airflow_with(*active: str) -> Any:
    """What a task asks Airflow: how many of these runs are active."""

    def get_dr_count(dag_id: str, run_ids: list[str], states: list[str]) -> int:
        assert (dag_id, states) == ("retrain_demo", ["queued", "running"])
        return len(set(active) & set(run_ids))

    return {"ti": SimpleNamespace(get_dr_count=get_dr_count), "dag": SimpleNamespace(dag_id="retrain_demo")}


@pytest.fixture
def ledger(home: Settings) -> Any:
    with Ledger.open(home) as opened:
        yield opened


def test_a_night_of_the_platform_waits_for_one_that_airflow_runs(
    home: Settings, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.open_night(night("backfill__1"), "platform")
    with (
        pytest.raises(AirflowRescheduleException) as caught,
        turn(home, ledger, night("n2"), airflow_with("backfill__1")),
    ):
        pytest.fail("two at once")
    assert caught.value.reschedule_date > datetime.now(UTC)
    assert "night backfill__1 of demo runs: this one, n2, begins when it has ended" in caplog.text
    with turn(home, ledger, night("n2"), airflow_with()):
        ledger.open_night(night("n2"), "platform")
    with turn(home, ledger, night("n2"), airflow_with("n2")):
        """Itself, taken up again."""
    ledger.close_night("demo", "backfill__1", "failed")
    with turn(home, ledger, night("n3"), airflow_with("backfill__1")):
        """What is closed does not run."""


def test_it_waits_for_one_in_process_while_that_lives(home: Settings, ledger: Ledger) -> None:
    ledger.open_night(night("manual__1", platform=False), "local")
    with (
        wait_for_lock(lock_of(home, "demo")),
        pytest.raises(AirflowRescheduleException),
        turn(home, ledger, night("n2"), airflow_with()),
    ):
        pytest.fail("two at once")
    with turn(home, ledger, night("n2"), airflow_with()):
        """A killed one holds no lock."""
    with alone(home, "demo"):
        """Nor does the look at it keep the lock."""


def test_it_waits_for_one_in_process_that_is_in_no_ledger_yet(home: Settings, ledger: Ledger) -> None:
    with (
        alone(home, "demo"),
        pytest.raises(AirflowRescheduleException),
        turn(home, ledger, night("n2"), airflow_with()),
    ):
        pytest.fail("two at once")
    with turn(home, ledger, night("n2"), airflow_with()):
        ledger.open_night(night("n2"), "platform")


def test_one_in_process_is_refused_by_name(home: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.open_night(night("manual__1", platform=False), "local")
    with alone(home, "demo"):
        with pytest.raises(AimassError, match="another night of this model runs") as caught, alone(home, "demo"):
            pytest.fail("two at once")
        assert caught.value.seen == "manual__1"
        with alone(home, "other"):
            """Another model."""
    ledger.open_night(night("scheduled__1"), "platform")
    with alone(home, "demo"):
        """Airflow does not respond, so it runs nothing."""
    monkeypatch.setattr(one_night, "_runs_on_platform", lambda settings, row: row.night == "scheduled__1")
    with pytest.raises(AimassError) as told, alone(home, "demo"):
        pytest.fail("two at once")
    assert told.value.seen == "scheduled__1"
