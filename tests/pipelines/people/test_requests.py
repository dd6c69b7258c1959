"""Requests to use a model: what is asked, who decides, and a token that exists once and is stored nowhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.artifacts import Night
from pipelines.errors import SpecError
from pipelines.gateway.quotas import parse_limit, parse_quota
from pipelines.ledger import Ledger
from pipelines.people import requests
from pipelines.spec import ModelSpec

WISH = {"purpose": "the shop's checkout", "per_minute": "60", "per_month": "100000"}


@pytest.fixture
def ledger(home):
    with Ledger.open(home) as ledger:
        yield ledger


def test_an_approved_request_gives_one_token_with_scope_rate_and_quota(ledger, home):
    row = requests.ask(ledger, "churn", "ada", **WISH, days=30, scopes=["explain", "predict"])
    assert (row.state, row.rate, row.quota, row.scopes) == (
        "asked",
        "60/minute",
        "100000/month",
        ["predict", "explain"],
    )
    requests.decide(ledger, row.id, "approve", actor="eve", why="agreed")
    drawn, text = requests.draw(ledger, row.id, "ada")
    token = ledger.check_token(text)
    assert token is not None
    assert token.name == drawn.token == f"ada:churn:{row.id}"
    assert (token.scopes, token.rate, token.quota) == (
        ["predict:churn", "explain:churn"], "60/minute", "100000/month",
    )  # fmt: skip
    assert abs(token.expires_at - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=5)
    assert parse_limit(token.rate).amount == 60, "what the gateway reads"
    assert parse_quota(token.quota) == (100_000, "month")
    kept = ledger.access_request(row.id)
    assert (kept.state, kept.decided_by, kept.why) == ("issued", "eve", "agreed")
    assert kept.expires_at == token.expires_at
    ledger.close()
    files = home.home.glob("**/*")
    assert not [path for path in files if path.is_file() and text.encode() in path.read_bytes()], "never in clear"


def test_a_token_is_drawn_once_and_by_nobody_else(ledger):
    row = requests.ask(ledger, "churn", "ada", **WISH)
    with pytest.raises(SpecError, match="no token to draw"):
        requests.draw(ledger, row.id, "ada")
    requests.decide(ledger, row.id, "approve", actor="eve", why="agreed")
    with pytest.raises(SpecError, match="of somebody else"):
        requests.draw(ledger, row.id, "bob")

    def draw(_):
        try:
            return requests.draw(ledger, row.id, "ada")[1]
        except requests.TooLateError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(draw, range(8)))
    drawn = [text for text in found if text.startswith("aimass_")]
    assert len(drawn) == 1
    assert all("was drawn already" in text for text in found if text not in drawn)
    assert ledger.check_token(drawn[0]) is not None
    assert len(ledger.tokens()) == 1


def test_of_two_decisions_the_first_counts_and_the_second_reads_it(ledger):
    row = requests.ask(ledger, "churn", "ada", **WISH)
    requests.decide(ledger, row.id, "refuse", actor="eve", why="use churn_eu")
    with pytest.raises(requests.TooLateError) as error:
        requests.decide(ledger, row.id, "approve", actor="bob", why="fine")
    assert "refused by eve" in str(error.value)
    assert "use churn_eu" in str(error.value)
    with pytest.raises(SpecError, match="no token to draw") as error:
        requests.draw(ledger, row.id, "ada")
    assert "use churn_eu" in str(error.value)
    with pytest.raises(SpecError, match="no such request"):
        requests.decide(ledger, 99, "approve", actor="bob", why="x")
    with pytest.raises(SpecError, match="no such decision"):
        requests.decide(ledger, row.id, "maybe", actor="bob", why="x")
    with pytest.raises(SpecError, match="needs a reason"):
        requests.decide(ledger, row.id, "approve", actor="bob", why="")


def test_one_open_request_per_person_and_model(ledger):
    first = requests.ask(ledger, "churn", "ada", **WISH)
    for state in ("asked", "approved"):
        with pytest.raises(requests.TooLateError, match="asked already"):
            requests.ask(ledger, "churn", "ada", **WISH)
        if state == "asked":
            requests.decide(ledger, first.id, "approve", actor="eve", why="x")
    requests.ask(ledger, "risk", "ada", **WISH)
    requests.ask(ledger, "churn", "bob", **WISH)
    _, old = requests.draw(ledger, first.id, "ada")
    second = requests.ask(ledger, "churn", "ada", **WISH)
    requests.decide(ledger, second.id, "approve", actor="eve", why="x")
    _, new = requests.draw(ledger, second.id, "ada")
    assert ledger.check_token(old) is not None, "another token does not replace it"
    assert ledger.check_token(new) is not None
    assert requests.valid_tokens(ledger, "*", "ada") == [f"ada:churn:{second.id}", f"ada:churn:{first.id}"]
    ledger.revoke_token(f"ada:churn:{first.id}")
    assert requests.valid_tokens(ledger, "*", "ada") == [f"ada:churn:{second.id}"]
    assert requests.valid_tokens(ledger, "sales", "ada") == []


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"purpose": " "}, "what it is for"),
        ({"purpose": "x" * 501}, "what it is for"),
        ({"per_minute": "0"}, "calls per minute: seen 0"),
        ({"per_minute": "1.5"}, "calls per minute"),
        ({"per_month": "-1"}, "calls per month"),
        ({"per_month": "9" * 16}, "calls per month"),
        ({"per_month": "٣"}, "calls per month"),
        ({"days": "367"}, "1 to 366"),
        ({"scopes": []}, "scopes: none"),
        ({"scopes": ["admin"]}, "scopes: seen admin"),
    ],
)
def test_what_does_not_fit_is_refused(ledger, change, seen):
    with pytest.raises(SpecError) as error:
        requests.ask(ledger, "churn", "ada", **{**WISH, **change})
    assert seen in str(error.value)
    assert ledger.access_requests() == []


def test_an_account_with_blanks_around_its_name_asks_for_nobody_else(ledger):
    with pytest.raises(SpecError, match="this is no person"):
        requests.ask(ledger, "churn", " ada", **WISH)
    assert ledger.access_requests() == []


@pytest.mark.parametrize("given", ["0", "-1", "1e3", str(10**30), True, None, "", "٣"])
def test_a_rate_quota_or_life_that_is_none_is_refused_with_all_others(ledger, given):
    with pytest.raises(SpecError) as error:
        requests.ask(ledger, "churn", "ada", purpose="x", per_minute=given, per_month=given, days=given)
    assert len(error.value.faults) == 3


def test_of_a_deleted_model_nothing_is_asked_approved_or_drawn(ledger):
    model = ModelSpec(name="churn", task="regression", target="y")
    ledger.open_night(Night(model=model, night="n", as_of=datetime.now(UTC)), "local")
    first, second = (requests.ask(ledger, "churn", person, **WISH) for person in ("ada", "bob"))
    requests.decide(ledger, first.id, "approve", actor="eve", why="agreed")
    ledger.mark_night_deleted("churn", "n", "eve", "over")
    for late in (
        lambda: requests.ask(ledger, "churn", "zoe", **WISH),
        lambda: requests.decide(ledger, second.id, "approve", actor="eve", why="agreed"),
        lambda: requests.draw(ledger, first.id, "ada"),
    ):
        with pytest.raises(SpecError, match="the model was deleted"):
            late()
    assert ledger.tokens() == []
    assert requests.decide(ledger, second.id, "refuse", actor="eve", why="it is gone").state == "refused"
