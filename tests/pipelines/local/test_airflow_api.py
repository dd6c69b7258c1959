"""The Airflow client against a small Airflow in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from pipelines.artifacts import Night
from pipelines.errors import AimassError, SpecError
from pipelines.ledger import Ledger
from pipelines.local import airflow_api
from pipelines.local.airflow_api import Airflow, Run
from pipelines.local.airflow_config import password_file
from pipelines.settings import Settings

AT = datetime(2026, 3, 1, 2, tzinfo=UTC)


class FakeAirflow:
    """Responds like Airflow's REST API."""

    def __init__(self, home: Settings) -> None:
        self.password = json.loads(password_file(home).read_text())["admin"]
        self.tokens = 0
        self.expire = False
        self.known_after = 1
        self.errors: list[dict[str, str]] = []
        self.runs: dict[str, str] = {}
        self.confs: list[dict[str, Any]] = []
        self.conf_of: dict[str, dict[str, Any]] = {}
        self.script: list[tuple[str, dict[str, str]]] = []
        self.unpaused = False
        self.cleared: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        body = json.loads(request.content) if request.content else {}
        if path == "/auth/token":
            assert body == {"username": "admin", "password": self.password}
            self.tokens += 1
            return httpx.Response(201, json={"access_token": f"t{self.tokens}"})
        if self.expire or request.headers["authorization"] != f"Bearer t{self.tokens}":
            self.expire = False
            return httpx.Response(401, json={"detail": "expired"})
        if path == "/api/v2/importErrors":
            return httpx.Response(200, json={"import_errors": self.errors})
        if path.endswith("/dagRuns") and request.method == "GET":
            when = request.url.params["logical_date_gte"]
            assert when == request.url.params["logical_date_lte"]
            run = {"dag_run_id": self.runs.get(when), "state": self.script[0][0], "conf": self.conf_of.get(when)}
            there = [run] if when in self.runs else []
            return httpx.Response(200, json={"dag_runs": there})
        if path.endswith("/dagRuns"):
            return self._trigger(body)
        if path.endswith("/clear"):
            assert body == {"dry_run": False, "only_failed": False}
            self.cleared.append(path.split("/")[-2])
            return httpx.Response(200, json={})
        if path.endswith("/taskInstances"):
            now = self.script[0] if len(self.script) == 1 else self.script.pop(0)
            tasks = [
                {"task_id": f"data.{name}", "state": state, "try_number": 1, "duration": 2.5}
                for name, state in now[1].items()
            ]
            return httpx.Response(200, json={"task_instances": tasks})
        if "/dagRuns/" in path:
            return httpx.Response(200, json={"state": self.script[0][0]})
        if request.method == "PATCH":
            self.unpaused = body == {"is_paused": False}
            return httpx.Response(200, json={})
        self.known_after -= 1
        if self.known_after >= 0:
            return httpx.Response(404, json={"detail": "unknown"})
        return httpx.Response(200, json={"dag_id": path.rsplit("/", 1)[-1], "is_paused": True})

    def _trigger(self, body: dict[str, Any]) -> httpx.Response:
        if "bad__field" in body["conf"]:
            return httpx.Response(400, json={"detail": "Invalid input for param"})
        if body["logical_date"] in self.runs:
            return httpx.Response(409, json={"detail": "exists"})
        self.runs[body["logical_date"]] = body.get("dag_run_id") or f"manual__{len(self.runs)}"
        self.confs.append(body["conf"])
        self.conf_of[body["logical_date"]] = body["conf"]
        return httpx.Response(200, json={"dag_run_id": self.runs[body["logical_date"]]})


@pytest.fixture
def fake(home: Settings, monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    monkeypatch.setattr(airflow_api.time, "sleep", lambda _: None)
    return FakeAirflow(home)


@pytest.fixture
def airflow(home: Settings, fake: FakeAirflow) -> Airflow:
    return Airflow(home, httpx.Client(base_url=home.airflow_url, transport=httpx.MockTransport(fake)))


def test_start_waits_unpauses_and_passes_params(airflow: Airflow, fake: FakeAirflow) -> None:
    said: list[str] = []
    assert airflow.start("retrain_loans", AT, {"tune__trials": 8}, said.append) == "manual__0"
    assert fake.unpaused
    assert fake.confs == [{"tune__trials": 8}]
    assert "/dags/retrain_loans/runs/manual__0" in said[0]


def test_same_date_twice_takes_the_next_second(airflow: Airflow) -> None:
    runs = [airflow.trigger("loans", AT) for _ in range(3)]
    assert [run.as_of.second for run in runs if run.as_of] == [0, 1, 2]
    assert len({run.run_id for run in runs}) == 3


def test_the_night_of_a_date_is_triggered_once_and_cleared_after_that(airflow: Airflow, fake: FakeAirflow) -> None:
    fake.script = [("success", {})]
    runs = [airflow.run_at("loans", AT, {"tune__trials": 8}).run_id for _ in range(2)]
    assert runs == [f"manual__{AT.isoformat()}"] * 2
    assert (fake.confs, fake.cleared) == ([{"tune__trials": 8}], runs[:1])
    fake.script = [("running", {})]
    airflow.run_at("loans", AT, {})
    assert fake.cleared == runs[:1], "one that runs is followed"


def test_a_run_of_that_date_with_other_params_is_left_alone(airflow: Airflow, fake: FakeAirflow) -> None:
    fake.script = [("failed", {})]
    fake.runs[AT.isoformat()], fake.conf_of[AT.isoformat()] = "scheduled__1", {}  # cleared, it would go live
    stop = {"stop_before_deploy": True}
    runs = [airflow.run_at("loans", AT, stop) for _ in range(2)]
    assert [run.run_id for run in runs] == ["manual__2026-03-01T02:00:01+00:00"] * 2
    assert (fake.confs, fake.cleared) == ([stop], [runs[0].run_id])
    fake.script = [("running", {})]
    assert airflow.run_at("loans", AT, stop).run_id == "scheduled__1", "one that runs is followed"


def test_refused_params_are_a_spec_error(airflow: Airflow) -> None:
    with pytest.raises(SpecError, match="refuses the settings") as caught:
        airflow.trigger("loans", AT, {"bad__field": 1})
    assert "Invalid input" in caught.value.seen


def test_import_error_of_the_file_is_shown_at_once(airflow: Airflow, fake: FakeAirflow) -> None:
    fake.known_after = 99
    fake.errors = [
        {"filename": "other.py", "stack_trace": "x"},
        {"filename": "retrain_loans.py", "stack_trace": "Traceback\nSpecError: bad"},
    ]
    with pytest.raises(SpecError, match="cannot be imported") as caught:
        airflow.wait_for_dag("retrain_loans")
    assert caught.value.seen == "SpecError: bad"


def test_unknown_dag(airflow: Airflow, fake: FakeAirflow) -> None:
    fake.known_after = 10**9
    with pytest.raises(SpecError, match="does not know the DAG retrain_nope"):
        airflow.wait_for_dag("retrain_nope", within=0)


def test_token_is_renewed(airflow: Airflow, fake: FakeAirflow) -> None:
    airflow.trigger("loans", AT)
    fake.expire = True
    airflow.trigger("loans", AT)
    assert fake.tokens == 2


def test_follow_yields_each_change_once_with_the_ledgers_figures(
    airflow: Airflow, fake: FakeAirflow, home: Settings, make_night: Callable[..., Night]
) -> None:
    ledger = Ledger.open(home)
    night = make_night("manual__0", name="loans")
    ledger.open_night(night, "platform")
    fence = ledger.begin_stage("loans", "manual__0", "ingest")
    ledger.finish_stage("loans", "manual__0", "ingest", fence, state="done", rows=7, seconds=1.5, reused=True)
    fake.script = [
        ("queued", {}),
        ("running", {"ingest": "running"}),
        ("running", {"ingest": "running"}),
        ("success", {"ingest": "success", "package": "skipped"}),
    ]
    changes = list(airflow.follow(Run("loans", "retrain_loans", "manual__0", AT), ledger))
    assert [(change.stage, change.state) for change in changes] == [
        ("ingest", "running"),
        ("ingest", "success"),
        ("package", "skipped"),
    ]
    assert (changes[1].seconds, changes[1].rows, changes[1].reused) == (1.5, 7, True)


def test_no_platform_is_one_clear_error(home: Settings) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    client = httpx.Client(base_url=home.airflow_url, transport=httpx.MockTransport(refuse))
    with pytest.raises(AimassError, match="Airflow does not respond") as caught:
        Airflow(home, client).trigger("loans", AT)
    assert "aimass up" in caught.value.cure


def test_airflow_that_is_away_for_a_while_is_waited_for(home: Settings, fake: FakeAirflow) -> None:
    fake.script = [("success", {})]
    reachable = iter([False, False, True])

    def flaky(request: httpx.Request) -> httpx.Response:
        if "/dagRuns/" in request.url.path and not next(reachable, True):
            raise httpx.ReadTimeout("away", request=request)
        return fake(request)

    client = httpx.Client(base_url=home.airflow_url, transport=httpx.MockTransport(flaky))
    assert list(Airflow(home, client).states("retrain_loans", "manual__0")) == ["success"]
