"""`aimass catalog`: each verb, its refusals, and what an archived model no longer does."""

from __future__ import annotations

import getpass
import json

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.ledger import Ledger


@pytest.fixture
def ledger(home, make_night):
    with Ledger.open(home) as opened:
        for name in ("churn", "fraud"):
            opened.open_night(make_night("night-1", name=name), "local")
            opened.close_night(name, "night-1", "success", {"verdict": "promoted"})
        yield opened


def run(capfd, *words, code=0):
    capfd.readouterr()
    result = CliRunner().invoke(app, list(words))
    seen = capfd.readouterr()
    assert result.exit_code == code, result.output + seen.err
    return seen.out + seen.err + result.output


def test_a_model_is_described_tagged_annotated_and_rated(ledger, capfd, tmp_path):
    (tmp_path / "churn.md").write_text("# Churn\n\nWho *leaves*.\n")
    words = (
        "--description",
        f"@{tmp_path}/churn.md",
        "--domain",
        "sales",
        "--use-case",
        "call list",
        "--related",
        "fraud",
    )
    assert "revision 1" in run(capfd, "catalog", "describe", "churn", *words)
    assert run(capfd, "catalog", "tag", "churn", "eu", "gdpr").strip() == "eu gdpr"
    assert run(capfd, "catalog", "tag", "churn", "--remove", "EU").strip() == "gdpr"
    assert "note 1 on churn" in run(capfd, "catalog", "note", "churn", "odd since March")
    assert "4 of 5" in run(capfd, "catalog", "rate", "churn", "4", "--text", "good")
    shown = run(capfd, "catalog", "show", "churn")
    for part in ("Who *leaves*.", "sales", "call list", "gdpr", "odd since March", "4.0 of 5 by 1", getpass.getuser()):
        assert part in shown, part
    facts = json.loads(run(capfd, "catalog", "show", "churn", "--json"))
    assert (facts["revision"], facts["notes"][0]["text"], facts["ratings"][0]["stars"]) == (3, "odd since March", 4)
    assert "churn" in run(capfd, "catalog", "search", "leaves call")
    assert json.loads(run(capfd, "catalog", "search", "gdpr", "--json"))[0]["found_in"] == ["tags"]
    assert "no model fits" in run(capfd, "catalog", "search", "100% 'x\"")
    run(capfd, "catalog", "describe", "churn", "--clear", "domain", "--clear", "use-cases")
    assert json.loads(run(capfd, "catalog", "show", "churn", "--json"))["use_cases"] == []
    run(capfd, "catalog", "note", "churn", "--remove", "1")
    run(capfd, "catalog", "rate", "churn", "--withdraw")
    assert "predict" in run(capfd, "catalog", "share", "churn")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rate", "churn", "9"), "1 to 5"),
        (("rate", "churn"), "STARS or --withdraw"),
        (("note", "churn"), "TEXT or --remove"),
        (("describe", "churn"), "nothing is said"),
        (("describe", "churn", "--domain", "a", "--clear", "domain"), "set and cleared"),
        (("describe", "churn", "--domain", "a", "--revision", "7"), "somebody changed this entry"),
        (("describe", "churn", "--description", "@/nowhere"), "cannot be read"),
        (("tag", "churn", "two words"), "no tag"),
        (("show", "chrun"), "did you mean 'churn'"),
        (("unarchive", "churn", "--why", "x"), "not archived"),
    ],
)
def test_what_is_wrong_is_told_with_exit_code_2(ledger, capfd, words, said):
    assert said in run(capfd, "catalog", *words, code=2)


def test_an_archived_model_is_left_out_and_runs_no_night(ledger, capfd, home):
    run(capfd, "catalog", "archive", "churn", "--why", "replaced")
    assert "churn" not in run(capfd, "models")
    assert "churn" in run(capfd, "models", "--archived")
    assert "replaced" in run(capfd, "show", "churn")
    assert "churn" not in run(capfd, "catalog", "search")
    assert "replaced" in run(capfd, "catalog", "search", "--archived", "--json")
    home.dags.mkdir(exist_ok=True)
    (home.dags / "retrain_churn.py").write_text("")
    for words in (
        ("run", "churn", "--local"),
        ("resume", "churn", "--why", "x"),
        ("rollback", "churn", "--to", "1", "--why", "x"),
    ):
        told = run(capfd, *words, code=2)
        assert "archived" in told
        assert "aimass catalog unarchive churn" in told
    run(capfd, "catalog", "unarchive", "churn", "--why", "needed")
    assert "churn" in run(capfd, "models")
