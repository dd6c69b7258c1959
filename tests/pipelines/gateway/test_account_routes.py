from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pyarrow.dataset as pads
import pytest
from gateways import running

pytestmark = pytest.mark.slow


def bearer(served: SimpleNamespace, name: str, *scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {served.ledger.issue_token(name, scopes, 1)}"}


@pytest.fixture(scope="module")
def row(served: SimpleNamespace) -> dict[str, Any]:
    return {"amount": 1, "town": "Bern", "age": 30}


@pytest.fixture(scope="module")
def client(served: SimpleNamespace) -> Iterator[httpx.Client]:
    with running(served.settings, served.ledger) as client:
        yield client


def test_labels_are_kept_and_join_with_what_was_predicted(served: SimpleNamespace, row: dict[str, Any]) -> None:
    caller, teacher = bearer(served, "caller", "predict:demo"), bearer(served, "teacher", "feedback:demo")
    with running(served.settings, served.ledger) as client:
        asked = client.post("/v1/models/demo:predict", json={"instances": [row] * 3}, headers=caller).json()
        identity = asked["request_id"]
        many = [{"request_id": identity, "row": index, "label": label} for index, label in enumerate(["yes", "no"])]
        reply = client.post("/v1/feedback", json={"model": "demo", "feedback": many}, headers=teacher)
        assert (reply.status_code, reply.json()["accepted"]) == (202, 2)
        text = f"request_id,row,label\n{identity},2,yes\n".encode()
        as_csv = {**teacher, "Content-Type": "text/csv"}
        assert client.post("/v1/feedback?model=demo", content=text, headers=as_csv).status_code == 202
        one = {"model": "demo", "request_id": "other", "label": True}
        assert client.post("/v1/feedback", json=one, headers=teacher).status_code == 202
        refused = client.post("/v1/feedback", json=one, headers=caller)
        assert refused.status_code == 403
    folder = served.settings.storage

    def read(kind: str) -> list[dict[str, Any]]:
        files = [str(path) for path in (folder / kind / "demo").rglob("*.parquet")]
        return pads.dataset(files).to_table().to_pylist()

    labels = {(each["request_id"], each["row"]): each["label"] for each in read("feedback")}
    predicted = [(each["request_id"], each["row"]) for each in read("predictions") if each["request_id"] == identity]
    assert [labels[pair] for pair in sorted(predicted)] == ["yes", "no", "yes"]
    assert labels["other", 0] == "true"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "demo"},
        {"model": "demo", "feedback": []},
        {"model": "demo", "feedback": [3]},
        {"model": "demo", "feedback": [{"request_id": "r"}]},
        {"model": "demo", "feedback": [{"label": 1}]},
        {"model": "demo", "feedback": [{"request_id": "r", "label": 1, "row": -1}]},
        {"model": "demo", "feedback": [{"request_id": "r", "label": [1]}]},
        {"model": "demo", "feedback": [{"request_id": "r", "label": 1}], "more": 1},
        {"model": 3, "request_id": "r", "label": 1},
    ],
)
def test_labels_that_cannot_be_read_are_refused(client: httpx.Client, served: SimpleNamespace, body: Any) -> None:
    reply = client.post("/v1/feedback", json=body, headers=bearer(served, "teacher", "feedback"))
    assert reply.status_code == 400
    assert (
        client.post(
            "/v1/feedback?model=demo",
            content=b"id,label\n1,2\n",
            headers={**bearer(served, "teacher", "feedback"), "Content-Type": "text/csv"},
        ).status_code
        == 400
    )


def test_usage_is_counted_by_token_and_seen_by_whom_it_concerns(served: SimpleNamespace, row: dict[str, Any]) -> None:
    mine, boss = bearer(served, "mine", "predict"), bearer(served, "boss", "metrics")
    with running(served.settings, served.ledger) as client:
        for rows, status in (([row] * 5, 200), ([{}], 400)):
            reply = client.post("/v1/models/demo:predict", json={"instances": rows}, headers=mine)
            assert reply.status_code == status
    with running(served.settings, served.ledger) as client:
        (line,) = client.get("/v1/usage", headers=mine).json()["usage"]
        assert (line["token"], line["requests"], line["errors"], line["rows"]) == ("mine", 2, 1, 5)
        assert {each["token"] for each in client.get("/v1/usage", headers=boss).json()["usage"]} >= {"mine"}
        assert client.get("/v1/usage?month=nope", headers=mine).status_code == 400


def test_an_estimate_goes_by_the_price_table(served: SimpleNamespace, client: httpx.Client) -> None:
    headers = bearer(served, "asker", "predict")
    prices = served.settings.home / "prices.json"
    prices.write_text('{"models": {"demo": {"per_request": 0.01, "per_1000_rows": 0.5}}}')
    try:
        asked = {"model": "demo", "rows": 4000, "requests": 10}
        reply = client.post("/v1/estimate", json=asked, headers=headers).json()
        assert (reply["cost"], reply["currency"]) == (2.1, "EUR")
        for wrong in ({"model": "demo", "rows": -1}, {"model": "demo", "rows": "x"}, {"rows": 1}):
            assert client.post("/v1/estimate", json=wrong, headers=headers).status_code == 400
        assert client.post("/v1/estimate", json={"model": "none"}, headers=headers).status_code == 404
        prices.write_text("{")
        assert client.post("/v1/estimate", json=asked, headers=headers).status_code == 503
    finally:
        prices.unlink()


def test_a_rate_answers_429_and_leaves_others_alone(served: SimpleNamespace, client: httpx.Client, row: Any) -> None:
    slow = {"Authorization": f"Bearer {served.ledger.issue_token('slow', ['predict'], 1, rate='5/minute')}"}
    other = bearer(served, "fast", "predict")
    body = {"instances": [row]}
    sent = [
        client.post("/v1/models/demo:predict", json=body, headers={**slow, "X-Forwarded-For": str(n)}) for n in range(9)
    ]
    assert [reply.status_code for reply in sent] == [200] * 5 + [429] * 4
    assert int(sent[-1].headers["Retry-After"]) >= 1
    assert client.post("/v1/models/demo:predict", json=body, headers=other).status_code == 200
