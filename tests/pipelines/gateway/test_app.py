from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pyarrow.dataset as pads
import pytest
from gateways import running

from pipelines.deployment.serve import private_service
from pipelines.gateway.errors import RequestError
from pipelines.gateway.services import Service
from pipelines.monitoring.traffic import read_traffic
from pipelines.storage import resolve

pytestmark = pytest.mark.slow

URL = "/v1/models/demo:predict"


@pytest.fixture(scope="module")
def client(served):
    with running(served.settings, served.ledger) as client:
        yield client


@pytest.fixture(scope="module")
def headers(served):
    return {"Authorization": f"Bearer {served.ledger.issue_token('tester', ['predict:demo'], 1)}"}


@pytest.fixture(scope="module")
def golden(served):
    folder = resolve(served.settings, served.ledger.version("demo", 1).model_uri)
    return json.loads((folder / "golden.json").read_text())


def test_it_answers_as_the_model_does(client, headers, golden):
    answer = client.post(URL, json={"instances": golden["rows"]}, headers=headers)
    assert answer.status_code == 200
    content = answer.json()
    assert content["predictions"] == golden["answers"]
    assert content["model_version"] == 1
    assert content["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"headers": {}}, 401),
        ({"headers": {"Authorization": "Bearer wrong"}}, 401),
        ({"url": "/v1/models/other:predict"}, 403),  # a token of one model tells nothing about others
        ({"url": "/v1/models/demo/nothing"}, 404),
        ({"url": "/v1/models/a%2Fb:predict"}, 404),
        ({"content": b"x" * (1 << 20 | 1)}, 413),
        ({"content": b"{"}, 400),
        ({"content": b'{"instances":[{"amount":1}]}'}, 400),
        ({"type": "text/csv"}, 415),
        ({"type": None}, 415),
    ],
)
def test_bad_requests_get_one_shape_of_error(client, headers, golden, change, status):
    kind = change.get("type", "application/json")
    sent = dict(change.get("headers", headers)) | ({"Content-Type": kind} if kind else {})
    content = change.get("content", json.dumps({"instances": golden["rows"][:1]}).encode())
    answer = client.post(change.get("url", URL), content=content, headers=sent)
    assert answer.status_code == status
    body = answer.json()
    assert body.keys() == {"error", "request_id"}
    assert {"what", "where", "seen", "expected", "cure"} <= body["error"].keys()
    if status == 401:
        assert "WWW-Authenticate" in answer.headers


def test_missing_columns_are_named_and_unreadable_cells_are_missing(client, headers, golden):
    refused = client.post(URL, json={"instances": [{"amount": 1}]}, headers=headers)
    assert "'town', 'age'" in refused.json()["error"]["faults"][0]
    row = {**golden["rows"][0], "amount": "rubbish", "extra": "ignored"}
    missing = client.post(URL, json={"instances": [{**golden["rows"][0], "amount": None}]}, headers=headers)
    given = client.post(URL, json={"instances": [row]}, headers=headers)
    assert given.json()["predictions"] == missing.json()["predictions"]
    assert given.json()["warnings"] == [{"row": 0, "column": "amount", "kind": "unreadable"}]
    assert missing.json()["warnings"] == [{"row": 0, "column": "amount", "kind": "missing"}]


def test_a_streamed_body_is_cut_off_at_the_limit(client, headers):
    sent = []

    def endless():
        while len(sent) < 100:
            sent.append(1)
            yield b" " * 100_000

    answer = client.post(URL, content=endless(), headers={**headers, "Content-Type": "application/json"})
    assert answer.status_code == 413


def test_wrong_methods_and_unknown_models(client, served):
    wide = {"Authorization": f"Bearer {served.ledger.issue_token('wide', ['predict'], 1)}"}
    assert client.get(URL).status_code == 405
    answer = client.post("/v1/models/nobody:predict", json={"instances": [{}]}, headers=wide)
    assert (answer.status_code, answer.json()["error"]["where"]) == (404, "nobody")


def test_health_and_metrics(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["models"]["demo"] == {"live_version": 1, "ready_versions": [1], "ready": True}
    assert client.get("/readyz/demo").status_code == 200
    assert client.get("/readyz/other").status_code == 404
    text = client.get("/metrics").text
    assert 'aimass_requests_total{code="200",model="demo"}' in text
    assert 'aimass_errors_total{code="400",model="demo"}' in text
    assert "aimass_request_seconds_bucket" in text


def test_it_follows_a_switch_without_a_failed_request(client, served, headers, golden, tmp_path, tiny):
    """Version 2 takes over while callers call; the old service ends in the middle."""
    done = tiny.take_to_bento(tmp_path, served.settings, served.night_of("night-2", day=2), seed=2)
    version = done["register"].ref.meta["version"]
    seen, stop = [], threading.Event()

    def call():
        while not stop.is_set():
            answer = client.post(URL, json={"instances": golden["rows"][:2]}, headers=headers)
            seen.append((answer.status_code, answer.json().get("model_version")))

    callers = [threading.Thread(target=call) for _ in range(3)]
    second = private_service(served.settings, "demo", version, 60)
    url = second.__enter__()
    try:
        with private_service(served.settings, "demo", 1, 60) as first:
            served.ledger.observe("demo", 1, "ready", address=first)
            for caller in callers:
                caller.start()
            time.sleep(1.0)
            served.ledger.want("demo", version, "serve")
            served.ledger.observe("demo", version, "ready", address=url)
            served.ledger.switch("demo", version, 0, "test", "test")
            time.sleep(0.2)
        time.sleep(1.0)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
        second.__exit__(None, None, None)
        served.ledger.switch("demo", 1, 0, "test", "test")
        served.ledger.want("demo", version, "stop")
        served.ledger.observe("demo", version, "absent")
        served.ledger.observe("demo", 1, "ready", address=served.url)
    assert {status for status, _ in seen} == {200}
    assert seen[0] == (200, 1)
    assert seen[-1] == (200, version)


def test_the_log_of_a_failure_names_the_version_that_failed(served, headers, golden, monkeypatch):
    async def fails(*_):
        raise RequestError(502, "the model failed")

    with running(served.settings, served.ledger) as client:
        monkeypatch.setattr(Service, "predict", fails)
        answer = client.post(URL, json={"instances": golden["rows"][:1]}, headers=headers)
        assert answer.status_code == 502
    now = datetime.now(UTC)
    traffic = read_traffic(served.settings.storage, "demo", now - timedelta(minutes=5), now)
    failed = traffic.rows.set_index("request_id").loc[answer.json()["request_id"]]
    assert (failed["status"], failed["version"]) == (502, 1), "or no floor of errors could be judged"
    assert answer.json()["request_id"] not in set(traffic.answered["request_id"]), "nothing was predicted"


def test_what_a_paused_model_refuses_is_in_no_log_of_predictions(served, headers, golden):
    served.ledger.pause("demo", "pause:ann", "odd scores")
    with running(served.settings, served.ledger) as client:
        refused = client.post(URL, json={"instances": golden["rows"][:1]}, headers=headers)
        assert refused.status_code == 503
        assert "odd scores" in refused.text
        served.ledger.resume("demo", "resume:ann", "mended")
        time.sleep(1.0)  # the age of a snapshot
        answer = client.post(URL, json={"instances": golden["rows"][:1]}, headers=headers)
        assert answer.status_code == 200
    now = datetime.now(UTC)
    logged = set(read_traffic(served.settings.storage, "demo", now - timedelta(minutes=5), now).rows["request_id"])
    assert answer.json()["request_id"] in logged
    assert refused.headers["x-request-id"] not in logged


def test_with_no_ready_service_it_is_503_and_the_log_has_it_all(served, headers, golden):
    with running(served.settings, served.ledger) as client:
        body = {"instances": golden["rows"][:1]}
        assert client.post(URL, json=body, headers=headers).status_code == 200
        served.ledger.observe("demo", 1, "failed")
        time.sleep(1.0)  # the age of a snapshot
        answer = client.post(URL, json=body, headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert client.get("/readyz").status_code == 503
        served.ledger.observe("demo", 1, "ready", address=served.url)
    files = sorted(str(path) for path in (served.settings.storage / "predictions" / "demo").rglob("*.parquet"))
    rows = pads.dataset(files).to_table().to_pylist()
    failed = next(row for row in rows if row["request_id"] == answer.json()["request_id"])
    assert (failed["status"], failed["version"], failed["prediction"]) == (503, None, None)
    assert {row["status"] for row in rows} >= {200, 503}
    assert all(row["status"] != 401 for row in rows)
    token = headers["Authorization"].split()[1]
    assert all(token not in json.dumps(row, default=str) for row in rows)
