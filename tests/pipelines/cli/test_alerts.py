"""`aimass alerts`: silences with who and why, the channels' failures, a test of the channels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from receivers import WebServer, refused, serving
from typer.testing import CliRunner

from pipelines import settings as settings_module
from pipelines.alerting.deliver import deliver
from pipelines.cli import doctor
from pipelines.cli.alerts import span_of
from pipelines.cli.main import app
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.settings import Settings


@pytest.fixture
def ledger(home: Settings, make_night) -> Iterator[Ledger]:
    with Ledger.open(home) as opened:
        opened.open_night(make_night(name="churn"), "local")
        opened.alert("churn", "drift", "amount shifted", "check:drift", ["amount"])
        yield opened


def run(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capfd.readouterr()
    result = CliRunner().invoke(app, ["alerts", *words])
    seen = capfd.readouterr()
    assert result.exit_code == code, seen.out + seen.err + result.output
    return seen.out + seen.err + result.output


def test_a_silence_is_recorded_with_who_and_why_and_can_be_ended(
    ledger: Ledger, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "silence 1 until" in run(capfd, "silence", "churn", "--kind", "drift", "--for", "2h", "--why", "new unit")
    (line,) = json.loads(run(capfd, "silences", "--json"))
    assert (line["model"], line["kind"], line["why"]) == ("churn", "drift", "new unit")
    assert line["who"]
    (row,) = ledger.silences()
    assert timedelta(minutes=119) < row.until - datetime.now(UTC) <= timedelta(hours=2)
    (alert,) = json.loads(run(capfd, "list", "churn", "--json", code=1))
    assert alert["silent_until"] == f"{row.until:%Y-%m-%d %H:%M}"
    assert alert["fingerprint"] == ledger.alerts()[0].fingerprint
    assert "silence 1 is over" in run(capfd, "unsilence", "1")
    assert "no silence lasts" in run(capfd, "silences")
    assert "new unit" in run(capfd, "silences", "--all")
    assert "no such silence lasts" in run(capfd, "unsilence", "1", code=2)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--for", "2h", "--why", "x"), "silence every alert"),
        (("churn", "--for", "2h", "--why", " "), "needs a reason"),
        (("chrn", "--for", "2h", "--why", "x"), "no such model"),
        (("churn", "--for", "2", "--why", "x"), "this is no time"),
    ],
)
def test_what_is_no_silence_is_refused(
    ledger: Ledger, capfd: pytest.CaptureFixture[str], words: tuple[str, ...], what: str
) -> None:
    assert what in run(capfd, "silence", *words, code=2)
    assert ledger.silences(lasting=False) == []


def test_a_kind_that_never_was_is_hinted_at(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'drift'" in run(capfd, "silence", "--kind", "drifd", "--for", "1d", "--why", "x")


@pytest.mark.parametrize(("text", "minutes"), [("30m", 30), ("1.5h", 90), ("1d", 1440), ("2w", 20160)])
def test_times_people_write(text: str, minutes: float) -> None:
    assert span_of(text) == timedelta(minutes=minutes)
    with pytest.raises(SpecError):
        span_of(f"-{text}")


def test_channels_are_tested_and_a_failing_one_is_named(
    ledger: Ledger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no channel is set" in run(capfd, "test")
    with serving(WebServer()) as web:
        monkeypatch.setenv("AIMASS_ALERT_WEBHOOK", f"{web.address}/s3cret-hook")
        assert "sent" in run(capfd, "test")
        assert "A test" in web.posts[0][2]["text"]
        assert {row.what: row.state for row in doctor.examine(settings_module.load())}["alert channel webhook"] == "ok"
    monkeypatch.setenv("AIMASS_ALERT_WEBHOOK", f"http://{refused()}/s3cret-hook")
    assert "refused" in run(capfd, "test", code=1)
    settings = settings_module.load()
    deliver(settings, ledger)
    listed = run(capfd, code=1)
    assert "alerts by webhook fail since" in listed
    checked = {row.what: row for row in doctor.examine(settings)}["alert channel webhook"]
    assert (checked.state, "aimass alerts test" in checked.cure) == ("wrong", True)
    assert "s3cret" not in listed + checked.seen
