"""`aimass releases`, and the line about a release in `aimass show`: on a real ledger with what gateways count."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.artifacts import Night
from pipelines.cli.main import app
from pipelines.deployment.canary import counts_at
from pipelines.deployment.judge import judge
from pipelines.deployment.spec import DeploySpec
from pipelines.gateway.canary import Arm
from pipelines.ledger import Ledger
from pipelines.ledger import rollouts as module
from pipelines.settings import Settings

Run = Callable[..., str]
NEEDED = 40


@pytest.fixture
def ledger(home: Settings, make_night: Callable[..., Night]) -> Ledger:
    opened = Ledger.open(home)
    for number in (1, 2, 3):
        night = make_night(f"night-{number}", fence=1)
        opened.open_night(night, "test")
        opened.begin_stage("demo", night.night, "deploy", DeploySpec(canary_requests=NEEDED).model_dump(mode="json"))
        opened.reserve("demo", night.night, 1)
        opened.advance("demo", night.night, 1, state="staged", model_uri=f"m{number}", model_digest=f"d{number}")
        assert opened.assign_version("demo", night.night, 1) == number
    opened.switch("demo", 1, 0, "first", "test")
    return opened


@pytest.fixture
def run(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return what it printed, the error where it must fail."""

    def ran(*words: str, code: int = 0) -> str:
        capfd.readouterr()
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == code, result.output
        return capfd.readouterr().out if code == 0 else result.output

    return ran


def arm(requests: int, errors: int = 0, ms: float = 2.0, probability: float = 0.2) -> dict[str, Any]:
    """Return what a gateway writes down of an arm."""
    counted = Arm()
    for index in range(requests - errors):
        counted.predicted({"prediction": ["no"], "probability": [probability + index / 10_000]}, ms)
    for _ in range(errors):
        counted.failed("502 the model failed")
    return counted.counts()


def lines(table: str) -> list[list[str]]:
    """Return the cells of a plain table, which stand two blanks apart."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table.splitlines()]


def test_the_releases_of_a_model(ledger: Ledger, run: Run) -> None:
    assert json.loads(run("releases", "demo", "--json")) == []
    second = ledger.begin_rollout("demo", 2, 1, "night-2", 1)
    assert "running, no callers yet" in run("releases", "demo")
    ledger.expose(second.id, 0, shadow=True)
    assert "running, copies of requests" in run("releases", "demo")
    ledger.switch("demo", 2, 1, "proved", "deploy", rollout=second.id)
    third = ledger.begin_rollout("demo", 3, 2, "night-3", 1)
    ledger.expose(third.id, 25)
    header, *rows = lines(run("releases", "demo"))
    assert header == ["version", "against", "state", "begun", "minutes", "why"]
    assert [row[:3] for row in rows] == [["2", "1", "promoted"], ["3", "2", "running, 25 % of callers"]]
    ledger.end_rollout(
        third.id, "aborted", "the canary was ended\n  where: demo\n  seen: errors: 9 of 10\n  cure: none"
    )
    assert lines(run("releases", "demo"))[-1][-1] == "the canary was ended: errors: 9 of 10"
    found = json.loads(run("releases", "demo", "--json"))
    assert [(each["version"], each["state"], each["share"]) for each in found] == [
        (2, "promoted", 0),
        (3, "aborted", 0),
    ]
    assert found[-1]["why"].endswith("cure: none")


def test_what_a_dead_deployer_left_is_not_called_running(
    ledger: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = ledger.begin_rollout("demo", 2, 1, "night-2", 1)
    ledger.expose(second.id, 25)
    long_ago = module.now() - module.SILENT_AFTER - timedelta(seconds=5)
    with monkeypatch.context() as patch:
        patch.setattr(module, "now", lambda: long_ago)
        ledger.beat(second.id)
    assert ledger.exposed_rollouts() == []
    assert "its deployer is silent" in run("releases", "demo")
    assert json.loads(run("releases", "demo", "--json"))[0]["silent"] is True


def test_the_steps_of_a_release(ledger: Ledger, run: Run) -> None:
    second = ledger.begin_rollout("demo", 2, 1, "night-2", 1)
    for name, counts in (("control", arm(400, 2)), ("candidate", arm(60, ms=3.0))):
        ledger.count_arm(second.id, 5, name, "a", counts)
    passed = judge(*counts_at(ledger.arms(second.id), 5), DeploySpec(canary_requests=NEEDED)).figures
    ledger.note_rollout(second.id, {"steps": [{"share": 5, **passed}]})
    ledger.expose(second.id, 25)
    ledger.count_arm(second.id, 25, "control", "a", arm(90))
    ledger.count_arm(second.id, 25, "candidate", "a", arm(20))
    ledger.count_arm(second.id, 25, "candidate", "b", arm(30, 1))
    shown = run("releases", "demo", "--version", "2")
    heading, header, *rows = lines(shown)
    assert "version 2: running, 25 % of callers; version 1 is the control" in heading[0]
    assert header == ["share", "version", "requests", "errors", "p50 ms", "p95 ms", "shift", "flips"]
    assert rows[0] == ["5 %", "1 (control)", "400", "2", "2", "2", "-", "-"]
    assert rows[1] == ["5 %", "2", "60", "0", "3", "3", f"{passed['shift']:.6g}", "-", "passed"]
    assert rows[2][:4] == ["25 %", "1 (control)", "90", "0"]
    assert rows[3][:4] == ["25 %", "2", "50", "1"]
    assert rows[3][-1] == "so far"
    (found,) = json.loads(run("releases", "demo", "--version", "2", "--json"))
    assert [(step["share"], step["passed"]) for step in found["steps"]] == [(5, True), (25, False)]
    assert found["steps"][1]["candidate"]["requests"] == 50
    assert "shift" in found["steps"][1], "the requests that the night's own settings ask for are there"
    ledger.end_rollout(second.id, "paused", "candidate 50, live 90, errors 1 and 0")
    paused = lines(run("releases", "demo", "--version", "2"))
    assert paused[1] == ["candidate 50, live 90, errors 1 and 0"]
    assert paused[-1][-1] == "paused"


def test_a_shadow_and_all_callers(ledger: Ledger, run: Run) -> None:
    second = ledger.begin_rollout("demo", 2, 1, "night-2", 1)
    ledger.count_arm(second.id, 0, "control", "a", arm(50))
    ledger.count_arm(second.id, 0, "candidate", "a", {**arm(50), "compared": 50, "flips": 5})
    ledger.count_arm(second.id, 100, "candidate", "a", arm(70))
    rows = lines(run("releases", "demo", "--version", "2"))[2:]
    assert rows[1][0] == "copies"
    assert rows[1][7] == "0.1"
    assert rows[2][:3] == ["100 %", "1 (control)", "50"], "the control of all callers is that of the shares before"
    assert rows[3][:3] == ["100 %", "2", "70"]


def test_each_release_of_a_version_is_shown(ledger: Ledger, run: Run) -> None:
    first = ledger.begin_rollout("demo", 2, 1, "night-2", 1)
    ledger.end_rollout(first.id, "aborted", "worse")
    ledger.begin_rollout("demo", 2, 1, "night-2", 2)
    shown = run("releases", "demo", "--version", "2")
    assert shown.count("version 2: ") == 2
    assert "aborted" in shown
    assert "running" in shown


def test_what_is_not_there_is_named(ledger: Ledger, run: Run) -> None:
    assert "no such model" in run("releases", "other", code=2)
    ledger.begin_rollout("demo", 2, 1, "night-2", 1)
    said = run("releases", "demo", "--version", "9", code=2)
    assert "version 9" in said
    assert "one of 2" in said


def test_show_tells_of_a_release_until_it_has_ended(ledger: Ledger, run: Run) -> None:
    assert "aimass releases" not in run("show", "demo")
    assert json.loads(run("show", "demo", "--json"))["release"] is None
    second = ledger.begin_rollout("demo", 2, 1, "night-2", 1)
    ledger.expose(second.id, 50)
    assert "version 2 running, 50 % of callers; see aimass releases demo" in run("show", "demo")
    ledger.end_rollout(second.id, "paused", "too few")
    assert "version 2 paused" in run("show", "demo")
    assert json.loads(run("show", "demo", "--json"))["release"]["state"] == "paused"
    third = ledger.begin_rollout("demo", 3, 1, "night-3", 1)
    ledger.switch("demo", 3, 1, "proved", "deploy", rollout=third.id)
    assert "aimass releases" not in run("show", "demo")
