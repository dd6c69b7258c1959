"""Nights, versions, alerts and logs on the command line; the doctor; what a date of the future gets."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from pipelines.cli import doctor
from pipelines.cli.main import app
from pipelines.ledger import Ledger
from pipelines.settings import Settings


@pytest.fixture
def ledger(home: Settings, monkeypatch: pytest.MonkeyPatch, make_night) -> Ledger:
    monkeypatch.setenv("AIMASS_HOME", str(home.home))
    opened = Ledger.open(home)
    for number in (1, 2):
        night = make_night(f"night-{number}", name="churn")
        opened.open_night(night, "local")
        fence = opened.begin_stage("churn", night.night, "tune")
        if number == 2:
            error = {"kind": "DataError", "what": "no rows", "exit_code": 21}
            opened.finish_stage("churn", night.night, "tune", fence, state="failed", error=error)
            opened.close_night("churn", night.night, "failed", {})
            continue
        opened.reserve("churn", night.night, fence)
        facts = {"model_uri": "m", "model_digest": "d" * 64, "metric": "roc_auc", "score": 0.91, "baseline": 0.5}
        opened.advance("churn", night.night, fence, state="staged", as_of=night.as_of, **facts)
        opened.assign_version("churn", night.night, fence)
        opened.close_night("churn", night.night, "success", {"verdict": "promoted", "version": 1, "deployed": True})
    return opened


def run(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capfd.readouterr()
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return capfd.readouterr().out + result.output


def test_nights_say_how_they_ended(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    text = run(capfd, "nights", "churn")
    first, second = (next(line for line in text.splitlines() if line.startswith(f"night-{n}")) for n in (1, 2))
    assert "promoted" in first
    assert "tune: no rows" in second
    (only,) = json.loads(run(capfd, "nights", "churn", "--last", "1", "--json"))
    assert (only["night"], only["state"]) == ("night-2", "failed")
    assert "no such model" in run(capfd, "nights", "chrn", code=2)


def test_versions_say_whether_a_service_runs(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    ledger.want("churn", 1, "serve", until=datetime.now(UTC) + timedelta(hours=1))
    ledger.observe("churn", 1, "ready", address="unix:/nowhere")
    (line,) = json.loads(run(capfd, "versions", "churn", "--json"))
    assert (line["version"], line["score"], line["model"]) == (1, 0.91, "d" * 12)
    assert line["service"].startswith("ready until")
    assert "roc_auc" in run(capfd, "versions", "churn")


def test_alerts_are_listed_and_tell_scripts(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    run(capfd, "alerts")
    ledger.alert("churn", "drift", "amount shifted", "drift")
    ledger.alert(None, "gateway", "away", "gateway")
    assert "amount shifted" in run(capfd, "alerts", "churn", code=1)
    assert "away" not in run(capfd, "alerts", "churn", code=1)
    ledger.resolve_alert("churn", "drift")
    run(capfd, "alerts", "churn")
    (row,) = json.loads(run(capfd, "alerts", "churn", "--all", "--json"))
    assert row["until"] is not None


def test_logs_show_their_end(ledger: Ledger, home: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    (home.logs / "gateway.log").write_text("".join(f"line {number}\n" for number in range(100)))
    assert run(capfd, "logs", "gateway", "--lines", "2").split("\n")[:2] == ["line 98", "line 99"]
    assert "gateway" in run(capfd, "logs")
    (home.logs / "bento-churn-v3.log").write_text("line\n")
    of_model = run(capfd, "logs", "churn")
    assert "bento-churn-v3" in of_model
    assert "gateway" not in of_model
    assert "did you mean 'gateway'" in run(capfd, "logs", "gatway", code=2)


def test_tokens_of_a_model_are_those_that_may_ask_it(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    for name, scope in (("everywhere", "predict"), ("here", "explain:churn"), ("elsewhere", "predict:loans")):
        ledger.issue_token(name, [scope])
    text = run(capfd, "tokens", "churn")
    assert [name for name in ("everywhere", "here", "elsewhere") if name in text] == ["everywhere", "here"]
    assert "elsewhere" in run(capfd, "tokens")
    assert "no such model" in run(capfd, "tokens", "chrn", code=2)


def test_a_night_of_the_future_is_refused(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert "a night of the future" in run(capfd, "run", "churn", "--at", later, "--local", code=2)


def test_the_release_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert f"aimass {version('aimass')}" in run(capfd, "--version")


def test_the_doctor_finds_what_is_wrong_and_says_the_cure(
    ledger: Ledger, home: Settings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {each.what: each.state for each in doctor.examine(home)}
    assert {good[name] for name in ("home", "secrets", "ledger", "clock", "executor", "libraries")} == {"ok"}
    (home.secrets / "loose").write_text("x")
    (home.secrets / "loose").chmod(0o644)
    home.home.chmod(0o755)
    home.controller_beat.touch()
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setattr(doctor, "FREE_GB", 1e9)
    monkeypatch.setattr(doctor, "FLOORS", ("joblib>=99",))
    found = {each.what: each for each in doctor.examine(home)}
    for name in ("home", "secrets", "executor", "disk", "library joblib"):
        assert found[name].state == "wrong", name
        assert found[name].cure, name
    assert "loose" in found["secrets"].seen
    assert "chmod 700" in run(capfd, "doctor", code=1)
    home.home.chmod(0o700)


def test_a_changed_ledger_and_a_dead_supervisor_are_named(ledger: Ledger, home: Settings) -> None:
    from pipelines.artifacts import write_json
    from pipelines.local import supervisor

    dead = {"pid": 999_999, "created": 1.0, "folder": "/nowhere", "ports": {}}
    write_json(supervisor.state_file(home), dead)
    found = {each.what: each for each in doctor.examine(home)}
    assert (found["platform"].state, found["platform"].seen) == ("wrong", "its supervisor was killed")
    assert "aimass up" in found["platform"].cure


def test_a_check_that_breaks_stops_no_other(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: object) -> None:
        raise OSError("no such device")

    monkeypatch.setattr(doctor.shutil, "disk_usage", broken)
    found = {each.what: each for each in doctor.examine(home)}
    assert "no such device" in found["disk"].seen
    assert found["python"].state == "ok"
