"""Settings of a client: a token that is never shown, an address that is one, and nothing heavy to import."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import pkgutil
import subprocess
import sys
from typing import Any

import pytest

import pipelines.client as package
from pipelines.client import AsyncClient, Client, InputError, Model, Predictions

HEAVY = ("pandas", "numpy", "pydantic", "sqlalchemy", "pyarrow", "starlette", "airflow", "duckdb", "msgspec")


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import sys, pipelines.client; print(sorted(set(sys.modules) & {set(HEAVY)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(package.__path__)])
def test_examples_are_right(name: str) -> None:
    module = importlib.import_module(f"pipelines.client.{name}")
    assert doctest.testmod(module).failed == 0


def test_the_token_comes_from_the_argument_or_the_environment_and_is_never_shown(monkeypatch: Any) -> None:
    monkeypatch.delenv("AIMASS_TOKEN", raising=False)
    with pytest.raises(InputError, match="no token"):
        Client("http://gateway:8000")
    monkeypatch.setenv("AIMASS_TOKEN", "aimass_hidden")
    for made in (Client("http://gateway:8000"), AsyncClient("http://gateway:8000"), Client("http://g", "aimass_other")):
        assert "aimass_hidden" not in repr(made)
        assert "aimass_other" not in repr(made)
        assert repr(made).startswith(type(made).__name__)
    for wrong in ("aimass hidden", "aimass_hidden\n", "geheim-é"):
        with pytest.raises(InputError, match="no token") as caught:
            Client("http://gateway:8000", wrong)
        assert wrong.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["gateway:8000", "ftp://gateway", "http://", "http://me:secret@gateway", "", "http://g?token=secret"]
)
def test_an_address_that_is_none_is_refused_without_repeating_a_login(url: str) -> None:
    with pytest.raises(InputError, match="no address") as caught:
        Client(url, "aimass_t")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"model": ""}, "no name"),
        ({"model": ".."}, "no name"),
        ({"version": 0}, "no version"),
        ({"version": True}, "no version"),
        ({"version": "3"}, "no version"),
        ({"version": 1, "label": "live"}, "two versions"),
        ({"label": ""}, "no name"),
        ({"sticky_key": ""}, "no sticky key"),
        ({"sticky_key": " 17"}, "no sticky key"),
        ({"sticky_key": "a\nHost: other"}, "no sticky key"),
        ({"sticky_key": "Łódź"}, "no sticky key"),
        ({"sticky_key": "x" * 1_001}, "no sticky key"),
        ({"sticky_key": 17}, "no sticky key"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_sent(asked: dict[str, Any], what: str) -> None:
    with Client("http://127.0.0.1:9", "aimass_t") as client, pytest.raises(InputError, match=what):
        client.predict(**{"model": "churn", "rows": [{"a": 1}], **asked})


@pytest.mark.parametrize("limit", ["concurrency", "attempts", "timeout", "deadline"])
def test_limits_are_positive(limit: str) -> None:
    with pytest.raises(InputError, match="not positive"):
        Client("http://gateway", "aimass_t", **{limit: 0})


def test_results_are_frozen_and_have_no_room_for_more() -> None:
    for result in (Model("churn", 1, (1,), True), Predictions([], (), ())):
        field = dataclasses.fields(result)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(result, field, "other")
        assert not hasattr(result, "__dict__")
    assert Predictions([], (), ()).model_version is None
