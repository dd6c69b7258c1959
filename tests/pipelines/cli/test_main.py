from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from here import aimass
from typer.testing import CliRunner

from pipelines.cli.chosen import parse_params
from pipelines.cli.console import command, open_ledger, parse_date
from pipelines.cli.main import app
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.settings import Settings


def commands(group, words=()):
    """Yield the words of every command and group of commands."""
    yield list(words)
    for name, one in getattr(group, "commands", {}).items():
        yield from commands(one, [*words, name])


@pytest.mark.parametrize("words", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_every_command_explains_itself_with_an_example(words):
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    assert f"Example: {' '.join(['aimass', *words])}" in " ".join(done.output.split())
    assert "\x1b[" not in done.output


def test_help_is_there_from_a_shell():
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli.main", "--help"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert "Example: aimass" in done.stdout


def test_dates_and_params():
    assert parse_date("2026-03-01") == datetime(2026, 3, 1, tzinfo=UTC)
    assert parse_date("2026-03-01T02:00+02:00") == datetime(2026, 3, 1, tzinfo=UTC)
    assert parse_params(["sample__fraction=0.5", 'tune__families=["linear"]', "x__y=text"]) == {
        "sample__fraction": 0.5,
        "tune__families": ["linear"],
        "x__y": "text",
    }
    for wrong in ("fraction=1", "sample__fraction"):
        with pytest.raises(SpecError):
            parse_params([wrong])
    with pytest.raises(SpecError):
        parse_date("yesterday")


@pytest.mark.parametrize(
    "words",
    [
        ("show", "nobody"),
        ("run", "nobody", "--local"),
        ("check", "nobody"),
        ("predict", "nobody", "--input", "a.csv", "--output", "b.csv"),
        ("run", "nobody", "--trials", "1", "--budget-seconds", "1"),
        ("run", "nobody", "--nonsense"),
        ("token", "nobody", "--revoke"),
        ("restore",),
    ],
)
def test_wrong_usage_is_exit_2_with_one_message_and_no_traceback(home, words):
    done = aimass(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_wrong_settings_are_one_clear_error(home):
    done = aimass("models", AIMASS_HOST="0.0.0.0", AIMASS_GATEWAY_PORT="80")
    assert done.returncode == 2
    assert "loopback" in done.stderr
    assert "gateway_port" in done.stderr


def test_models_and_show_print_only_the_result(home, make_night):
    assert aimass("models").stdout == ""
    ledger = Ledger.open(home)
    night = make_night()
    ledger.open_night(night, "local")
    fence = ledger.begin_stage("demo", night.night, "features")
    ref = {"uri": "x", "digest": "d" * 64, "stage": "features"}
    ledger.finish_stage("demo", night.night, "features", fence, state="done", rows=90, seconds=1.5, ref=ref)
    fence = ledger.begin_stage("demo", night.night, "ensemble")
    cost = {"model_bytes": 5_100_000, "row_ms_p50": 0.2, "row_ms_p99": 0.4}
    ledger.finish_stage("demo", night.night, "ensemble", fence, state="done", seconds=2.0, stats=cost)
    ledger.reserve("demo", night.night, fence)
    version = ledger.assign_version("demo", night.night, fence)
    ledger.advance(
        "demo",
        night.night,
        fence,
        state="registered",
        metric="roc_auc",
        score=0.8,
        baseline=0.5,
        model_digest="m" * 64,
        as_of=night.as_of,
        verdict={"verdict": "promoted"},
    )
    ledger.switch("demo", version, fence, "promoted", "test")
    ledger.close_night("demo", night.night, "success")
    lines = aimass("models").stdout.splitlines()
    assert lines[0].split()[:3] == ["model", "task", "live"]
    assert lines[1].split()[:5] == ["demo", "binary", "1", "roc_auc", "0.8"]
    facts = json.loads(aimass("show", "demo", "--json").stdout)
    assert facts["champion_version"] == 1
    assert facts["sealed_score"] == 0.8
    assert facts["rows_trained"] == 90
    assert facts["digests"] == {"model": "m" * 64, "features": "d" * 64}
    assert facts["verdict"] == "promoted"
    assert facts["stage_seconds"] == {"features": 1.5, "ensemble": 2.0}
    assert {name: facts[name] for name in cost} == cost
    shown = aimass("show", "demo").stdout
    assert "champion_version  1" in shown
    assert "5.1 MB; one row 0.2 ms (median), 0.4 ms (99th percentile)" in shown


def test_token_is_the_only_thing_on_stdout_and_works(home):
    text = aimass("token", "batch", "--model", "demo", "--days", "2").stdout.strip()
    ledger = Ledger.open(home)
    row = ledger.check_token(text)
    assert (row.name, row.scopes) == ("batch", ["predict:demo"])
    assert aimass("token", "batch", "--revoke").stdout == "batch revoked\n"
    assert ledger.check_token(text) is None


def test_a_fault_of_the_program_is_one_message_too(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def broken() -> None:
        raise KeyError("column 'x'")

    with pytest.raises(typer.Exit) as ended:
        broken()
    seen = capsys.readouterr()
    assert (ended.value.exit_code, seen.out) == (1, "")
    assert "KeyError" in seen.err
    assert "Traceback" not in seen.err
    log = Path(next(line for line in seen.err.splitlines() if "where:" in line).split(": ", 1)[1])
    assert "Traceback" in log.read_text()
    log.unlink()


def test_looking_where_nothing_was_run_makes_nothing(tmp_path):
    done = aimass("models", AIMASS_HOME=str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert str(tmp_path / "nowhere") in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_command_closes_the_ledger_that_it_opened(home, monkeypatch):
    closed = []
    real = Ledger.close
    monkeypatch.setattr(Ledger, "close", lambda self: (closed.append(self), real(self)))
    monkeypatch.setattr("pipelines.cli.console.current_settings", lambda: home)

    @command
    def look():
        open_ledger()[1].nights("demo")
        assert not closed
        open_ledger()
        raise SpecError("no such model")

    with pytest.raises(typer.Exit):
        look()
    assert len(closed) == 2


def test_a_reader_that_has_seen_enough_is_no_error(home: Settings) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli.main", "status"], stdout=stream, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 141
    assert done.stderr == b""
