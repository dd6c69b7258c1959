from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from pipelines.gateway import auth
from pipelines.gateway.auth import TokenCheck
from pipelines.gateway.errors import RequestError


class Store:
    """Knows one token for one model."""

    def __init__(self):
        self.asked = 0
        self.valid = True

    def check_token(self, text):
        self.asked += 1
        scopes = {"good": ["predict:demo"], "wide": ["predict"], "root": ["admin"]}
        return SimpleNamespace(name="t", scopes=scopes[text]) if self.valid and text in scopes else None


@pytest.mark.parametrize("header", [None, "", "good", "Basic good", "Bearer ", "Bearer bad", "Bearer good\ud800"])
def test_without_a_valid_token_it_is_401_and_the_token_is_not_repeated(header):
    with pytest.raises(RequestError) as caught:
        asyncio.run(TokenCheck(Store()).require(header, "predict", "demo"))
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")
    assert "good" not in str(caught.value.error)
    assert "bad" not in str(caught.value.error)


@pytest.mark.parametrize(
    ("token", "scope", "model", "passes"),
    [
        ("good", "predict", "demo", True),
        ("good", "predict", "other", False),
        ("good", "predict", "", False),
        ("good", "predict", None, True),
        ("good", "predict", "*", False),
        ("good", "explain", None, False),
        ("good", "explain", "demo", False),
        ("wide", "predict", "other", True),
        ("wide", "metrics", "", False),
        ("root", "metrics", "", True),
        ("root", "predict", "demo", True),
    ],
)
def test_a_token_is_for_its_scope_alone(token, scope, model, passes):
    check = TokenCheck(Store())
    if passes:
        assert asyncio.run(check.require(f"Bearer {token}", scope, model)).name == "t"
        return
    with pytest.raises(RequestError, match="not for this") as caught:
        asyncio.run(check.require(f"Bearer {token}", scope, model))
    assert caught.value.status == 403


def test_it_is_remembered_shortly_and_then_asked_again(monkeypatch):
    store = Store()
    check = TokenCheck(store)
    asyncio.run(check.require("Bearer good", "predict", "demo"))
    asyncio.run(check.require("bearer good", "predict", "demo"))
    assert store.asked == 1
    store.valid = False
    now = auth.time.monotonic()
    monkeypatch.setattr(auth.time, "monotonic", lambda: now + 5)
    with pytest.raises(RequestError):
        asyncio.run(check.require("Bearer good", "predict", "demo"))


def test_a_token_that_was_valid_passes_for_a_while_when_the_ledger_is_away(monkeypatch):
    store = Store()
    check = TokenCheck(store)
    now = auth.time.monotonic()
    moment = [now]
    monkeypatch.setattr(auth.time, "monotonic", lambda: moment[0])

    def ask(token):
        return asyncio.run(check.require(f"Bearer {token}", "predict", "demo"))

    ask("good")
    store.check_token = lambda _: (_ for _ in ()).throw(OSError("away"))
    for seconds in (5, 100, 299):
        moment[0] = now + seconds
        assert ask("good").name == "t"
    with pytest.raises(RequestError) as caught:
        ask("wide")
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "2")
    moment[0] = now + 304
    with pytest.raises(RequestError, match="cannot be checked"):
        ask("good")
