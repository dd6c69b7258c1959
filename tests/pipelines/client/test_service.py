"""Both clients against the real gateway and the real service of a tiny model."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gateways import running

from pipelines.client import (
    AsyncClient,
    AuthenticationError,
    CellWarning,
    Client,
    Model,
    NotFoundError,
    RefusedError,
    ScopeError,
)
from pipelines.inference.model_directory import ModelDirectory
from pipelines.secret_files import public_key
from pipelines.storage import resolve
from pipelines.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(served: SimpleNamespace) -> Iterator[SimpleNamespace]:
    folder = resolve(served.settings, served.ledger.version("demo", 1).model_uri)
    predictor = ModelDirectory.open(folder, public_key(served.settings)).predictor
    token = served.ledger.issue_token("client", ["predict", "explain"], 1)
    with running(served.settings, served.ledger) as http:
        yield SimpleNamespace(
            url=str(http.base_url), token=token, predictor=predictor, ledger=served.ledger, service=served.url
        )


@pytest.fixture(scope="module", params=["sync", "async"])
def ask(live: SimpleNamespace, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call a method of one of the clients by its name."""

    def call(method: str, *values: Any, token: str | None = None, **named: Any) -> Any:
        if request.param == "sync":
            with Client(live.url, token or live.token) as client:
                return getattr(client, method)(*values, **named)

        async def later() -> Any:
            async with AsyncClient(live.url, token or live.token) as client:
                return await getattr(client, method)(*values, **named)

        return asyncio.run(later())

    return call


def test_both_clients_have_the_same_methods() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(method) == inspect.signature(getattr(AsyncClient, name)), name


def test_a_frame_of_any_length_is_predicted_as_the_model_does(live: SimpleNamespace, ask: Any, tiny: Any) -> None:
    frame = tiny.rows(3300, seed=3)
    found = ask("predict", "demo", frame)
    expected = live.predictor.predict_frame(frame)
    assert found.values == list(expected["prediction"])
    np.testing.assert_allclose(found.probabilities, expected["probability"], atol=1e-12)
    assert (found.model_version, found.model_versions, len(found.parts), len(set(found.request_ids))) == (1, (1,), 4, 4)
    unreadable = [n for n in range(len(frame)) if frame["amount"][n] == "much"]
    assert [each.row for each in found.warnings if each.kind == "unreadable"] == unreadable
    by_columns = ask("predict", "demo", frame.to_dict("list"))
    assert by_columns.predictions == found.predictions == ask("predict", "demo", frame.to_dict("records")).predictions


def test_versions_labels_and_gaps(ask: Any) -> None:
    rows = [
        {"amount": pd.NA, "town": "Bern", "age": np.int64(40)},
        {"amount": 1e9, "town": "Rome", "age": float("nan")},
    ]
    found = ask("predict", "demo", rows)
    for more in ({"version": 1}, {"label": "live"}, {"label": "newest"}):
        assert ask("predict", "demo", rows, **more).predictions == found.predictions
    assert CellWarning(0, "amount", "missing") in found.warnings
    nothing = ask("predict", "demo", [])
    assert (nothing.predictions, nothing.parts, nothing.model_version) == ([], (), None)


def test_errors_are_the_gateways_words(live: SimpleNamespace, ask: Any, tiny: Any) -> None:
    rows = tiny.rows(1200).to_dict("records")
    del rows[1100]["town"]
    rows[1150]["age"] = "x"
    with pytest.raises(RefusedError) as caught:
        ask("predict", "demo", rows)
    assert caught.value.status == 400
    assert caught.value.faults == ["row 1100 lacks 'town'"]
    assert caught.value.where == "rows 1000 to 1199"
    assert caught.value.request_id
    for kind, asked in ((NotFoundError, {"model": "nothing"}), (NotFoundError, {"model": "demo", "version": 9})):
        with pytest.raises(kind):
            ask("predict", rows=rows[:1], **asked)
    with pytest.raises(AuthenticationError) as wrong:
        ask("predict", "demo", rows[:1], token="aimass_wrong")
    assert "aimass_wrong" not in str(wrong.value)
    only = live.ledger.issue_token("only", ["predict:demo"], 1)
    with pytest.raises(ScopeError):
        ask("explain", "demo", rows[0], token=only)


def test_explain_models_metadata_and_ready(live: SimpleNamespace, ask: Any) -> None:
    described = ask("metadata", "demo")
    assert (described.model, described.version, described.task, described.positive) == ("demo", 1, "binary", "yes")
    assert [(column.name, column.kind) for column in described.columns][:1] == [("amount", "number")]
    assert "curl" in described.facts
    explained = ask("explain", "demo", described.example)
    assert explained.model_version == 1
    assert json.dumps(explained.steps)
    predicted = ask("predict", "demo", [described.example]).predictions
    assert live.predictor.predict_rows([described.example]) == predicted
    assert ask("models") == ask("models", search="dem", ready=True) == [Model("demo", 1, (1,), True)]
    assert ask("models", search="other") == ask("models", ready=False) == []
    assert ask("ready") is True
    assert ask("ready", "demo") is True
    with pytest.raises(NotFoundError):
        ask("ready", "nothing")


def test_a_key_reaches_the_same_version_of_a_release(live: SimpleNamespace, ask: Any, tiny: Any) -> None:
    rows = [tiny.rows(1).to_dict("records")[0]]
    keys = [f"customer-{number}" for number in range(20)]

    def asked() -> dict[str, int]:
        return {key: ask("predict", "demo", rows, sticky_key=key).model_version for key in keys}

    def only(*versions: int) -> bool | None:
        """Wait for a gateway that has seen the ledger."""
        return wait_until(lambda: set(asked().values()) == {*versions} or None, seconds=10, every=0.1)

    live.ledger.want("demo", 2, "serve")
    live.ledger.observe("demo", 2, "ready", address=live.service)
    release = live.ledger.begin_rollout("demo", 2, 1, "night-2", 1)
    try:
        live.ledger.expose(release.id, 50)
        assert only(1, 2)
        seen = asked()
        assert asked() == seen
        many = ask("predict", "demo", rows * 3_500, sticky_key=keys[0])
        assert (len(many.parts), many.model_version) == (4, seen[keys[0]])
        candidates = next(key for key in keys if seen[key] == 2)
        assert ask("predict", "demo", rows, label="live", sticky_key=candidates).model_version == 1
    finally:
        live.ledger.end_rollout(release.id, "aborted", "the test is over")
        live.ledger.want("demo", 2, "stop")
        assert only(1)


def test_it_is_not_ready_where_nobody_listens() -> None:
    with Client("http://127.0.0.1:9", "aimass_t") as client:
        assert client.ready() is False
