"""`aimass people`: roles are granted, listed and revoked, each change with who and why."""

from __future__ import annotations

import getpass
import json

import pytest
from here import aimass

from pipelines.ledger import Ledger


@pytest.fixture
def ledger(home, monkeypatch):
    monkeypatch.setenv("AIMASS_HOME", str(home.home))
    with Ledger.open(home) as ledger:
        yield ledger


def test_roles_are_granted_listed_and_revoked(ledger):
    found = aimass("people", "grant", "ada", "owner", "--domain", "sales", "--why", "leads it")
    assert found.stdout == "ada is owner of the domain sales\n"
    assert "only people with a role" in found.stderr
    assert "only people" not in aimass("people", "grant", "bob", "viewer", "--domain", "sales", "--why", "x").stderr
    (ada, bob) = json.loads(aimass("people", "list", "--json").stdout)
    assert (ada["person"], ada["role"], ada["by"], ada["why"]) == ("ada", "owner", getpass.getuser(), "leads it")
    assert bob["person"] == "bob"
    assert "bob" not in aimass("people", "list", "--person", "ada").stdout
    found = aimass("people", "revoke", "ada", "--domain", "sales", "--why", "left")
    assert "nobody owns the domain sales" in found.stderr
    assert "ada" not in aimass("people", "list").stdout
    assert aimass("people", "list", "--log").stdout.count("ada") == 2


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["grant", "ada", "boss", "--domain", "sales", "--why", "x"], "viewer, caller, operator, owner"),
        (["revoke", "ada", "--domain", "sales", "--why", "x"], "has no role"),
        (["grant", "ada", "owner", "--domain", "sales", "--why", " "], "needs a reason"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(ledger, words, seen):
    found = aimass("people", *words)
    assert found.returncode == 2
    assert seen in found.stderr
    assert ledger.role_changes() == []


def test_a_request_becomes_a_token_that_is_shown_once(ledger, make_night):
    ledger.open_night(make_night(), "local")
    words = ["--for", "the shop", "--per-minute", "60", "--per-month", "1000", "--person", "ada"]
    assert "ada asks for predict of demo, 60/minute, 1000/month" in aimass("people", "request", "demo", *words).stdout
    assert "asked already" in aimass("people", "request", "demo", *words).stderr
    assert aimass("people", "request", "nothing", *words).returncode == 2
    (line,) = json.loads(aimass("people", "requests", "--json").stdout)
    number = str(line["id"])
    assert "approved" in aimass("people", "approve", number, "--why", "fine").stdout
    assert "decided already" in aimass("people", "refuse", number, "--why", "no").stderr
    assert "of somebody else" in aimass("people", "token", number, "--person", "bob").stderr
    text = aimass("people", "token", number, "--person", "ada").stdout.strip()
    assert ledger.check_token(text).scopes == ["predict:demo"]
    again = aimass("people", "token", number, "--person", "ada")
    assert again.returncode == 2
    assert "drawn already" in again.stderr
    assert "no request is open" in aimass("people", "requests").stderr
    assert text not in aimass("people", "requests", "--all").stdout
    ledger.set_role("*", "ada", "caller", actor="root", why="x")
    assert f"ada:demo:{number}" in aimass("people", "revoke", "ada", "--domain", "*", "--why", "left").stderr
