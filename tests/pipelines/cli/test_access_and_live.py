"""Tokens, usage and what is live, on the command line."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.ledger import Ledger
from pipelines.ledger.schema import history
from pipelines.settings import Settings


@pytest.fixture
def ledger(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("AIMASS_HOME", str(home.home))
    return Ledger.open(home)


def run(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """Run a command; return what it printed, the error where it must fail."""
    capfd.readouterr()
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return capfd.readouterr().out if code == 0 else result.output


def test_a_token_has_scopes_a_time_to_live_and_limits(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["token", "create", "app", "--scope", "predict:churn", "--scope", "explain", "--expires", "12h"]
    text = run(capfd, *words, "--rate", "100/min", "--quota", "1e6/month").strip()
    row = ledger.check_token(text)
    assert row is not None
    assert (row.scopes, row.rate, row.quota) == (["predict:churn", "explain"], "100/min", "1e6/month")
    assert timedelta(hours=11) < row.expires_at - datetime.now(UTC) < timedelta(hours=13)
    listed = run(capfd, "token", "list")
    assert "app" in listed
    assert "valid" in listed
    assert text not in listed
    assert run(capfd, "token", "revoke", "app").strip() == "app revoked"
    assert ledger.check_token(text) is None
    assert "revoked" in run(capfd, "token", "list")


def test_the_short_form_makes_and_revokes_one(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    row = ledger.check_token(run(capfd, "token", "case", "--model", "churn", "--days", "2").strip())
    assert row is not None
    assert row.scopes == ["predict:churn"]
    two = run(capfd, "token", "create", "two", "--scope", "explain", "--model", "churn", "--model", "loans").strip()
    both = ledger.check_token(two)
    assert both is not None
    assert both.scopes == ["explain:churn", "explain:loans"]
    run(capfd, "token", "case", "--revoke")
    assert next(row for row in ledger.tokens() if row.name == "case").revoked_at is not None


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["--scope", "everything"], "no such scope"),
        (["--scope", "predict:"], "no such scope"),
        (["--expires", "soon"], "no time to live"),
        (["--expires", "9999d"], "no time to live"),
        (["--rate", "fast"], "no limit"),
        (["--quota", "5/minute"], "a day, a month or a year"),
    ],
)
@pytest.mark.usefixtures("ledger")
def test_a_token_that_cannot_be_meant_is_refused(
    capfd: pytest.CaptureFixture[str], words: list[str], seen: str
) -> None:
    assert seen in run(capfd, "token", "create", "app", *words, code=2)


def test_a_month_is_billed_by_the_price_table(
    ledger: Ledger, home: Settings, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    day = datetime.now(UTC).date()
    ledger.count_usage({("app", "churn", day): (10, 2, 5000), ("app", "loans", day): (1, 0, 1)})
    (home.home / "prices.json").write_text(
        '{"currency": "CHF", "default": {"per_request": 0.5}, "models": {"churn": {"per_1000_rows": 0.3}}}'
    )
    shown = run(capfd, "usage")
    assert "2.0000 CHF" in shown
    target = tmp_path / "bill.csv"
    run(capfd, "usage", "--month", f"{day:%Y-%m}", "--output", str(target))
    with target.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [(line["model"], line["rows"], line["cost"], line["currency"]) for line in lines] == [
        ("churn", "5000", "1.5000", "CHF"),
        ("loans", "1", "0.5000", "CHF"),
    ]
    assert "no month" in run(capfd, "usage", "--month", "2026-13", code=2)
    (home.home / "prices.json").write_text("{")
    assert "price table cannot be read" in run(capfd, "usage", code=2)


def test_who_served_at_a_moment(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    for version in (1, 2):
        ledger.reserve("churn", f"n{version}", version)
        assert ledger.assign_version("churn", f"n{version}", version) == version
        ledger.switch("churn", version, 0, f"why {version}", "test")
    first, second = ledger.history("churn")
    between = (first.at + (second.at - first.at) / 2).isoformat()
    assert "version 1" in run(capfd, "who-served", "churn", "--at", between)
    later = run(capfd, "who-served", "churn", "--at", (second.at + timedelta(hours=1)).isoformat())
    assert "version 2" in later
    assert "why 2" in later
    assert "none" in run(capfd, "who-served", "churn", "--at", "2020-01-01")
    assert "never live" in run(capfd, "who-served", "other", "--at", "2020-01-01", code=2)
    assert "2 switches of 1 models verified" in run(capfd, "ledger", "verify")


def test_a_changed_history_is_found_and_named(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    for version in (1, 2):
        ledger.reserve("churn", f"n{version}", version)
        ledger.assign_version("churn", f"n{version}", version)
        ledger.switch("churn", version, 0, "why", "test")
    with ledger.transaction() as connection:
        connection.execute(history.update().where(history.c.id == 1).values(why="another"))
    said = run(capfd, "ledger", "verify", code=1)
    assert "the history was changed" in said
    assert "churn to version 1" in said


def test_a_route_that_was_moved_by_hand_is_found(ledger: Ledger, capfd: pytest.CaptureFixture[str]) -> None:
    from pipelines.ledger.schema import routes

    for version in (1, 2):
        ledger.reserve("churn", f"n{version}", version)
        ledger.assign_version("churn", f"n{version}", version)
        ledger.switch("churn", version, 0, "why", "test")
    with ledger.transaction() as connection:
        connection.execute(routes.update().values(version=1))
    assert "not what the history says" in run(capfd, "ledger", "verify", code=1)
