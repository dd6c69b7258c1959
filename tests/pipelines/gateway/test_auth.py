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

    def check_token(self, text, scope):
        self.asked += 1
        return SimpleNamespace(name="t") if self.valid and (text, scope) == ("good", "predict:demo") else None


@pytest.mark.parametrize("header", [None, "", "good", "Basic good", "Bearer ", "Bearer bad", "Bearer good\ud800"])
def test_without_a_valid_token_it_is_401_and_the_token_is_not_repeated(header):
    with pytest.raises(RequestError) as caught:
        asyncio.run(TokenCheck(Store()).require(header, "demo"))
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")
    assert "good" not in str(caught.value.error)
    assert "bad" not in str(caught.value.error)


def test_a_token_of_another_model_does_not_pass():
    with pytest.raises(RequestError):
        asyncio.run(TokenCheck(Store()).require("Bearer good", "other"))


def test_it_is_remembered_shortly_and_then_asked_again(monkeypatch):
    store = Store()
    check = TokenCheck(store)
    assert asyncio.run(check.require("Bearer good", "demo")) == "t"
    assert asyncio.run(check.require("bearer good", "demo")) == "t"
    assert store.asked == 1
    store.valid = False
    now = auth.time.monotonic()
    monkeypatch.setattr(auth.time, "monotonic", lambda: now + 5)
    with pytest.raises(RequestError):
        asyncio.run(check.require("Bearer good", "demo"))
