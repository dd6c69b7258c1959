from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest
from ports import free_ports

from pipelines.deployment.serve import find_bento
from pipelines.waiting import wait_until

URL = "/predict"


CODE = """
import logging, sys, bentoml, uvicorn
logging.disable(logging.CRITICAL)
service = bentoml.load(sys.argv[1], standalone_load=True)
uvicorn.run(service.to_asgi(is_main=True), port=int(sys.argv[2]), log_config=None)
"""


@pytest.fixture(scope="module")
def client(packaged):
    """The service as BentoML serves it, where a bento is run elsewhere."""
    port = free_ports(1)[0]
    command = [sys.executable, "-P", "-B", "-c", CODE, str(find_bento(packaged.settings, "demo", 1)), str(port)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            wait_until(lambda: ready(client), seconds=60, every=0.05)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def ready(client):
    try:
        return client.get("/readyz").status_code == 200 or None
    except httpx.TransportError:
        return None


@pytest.mark.parametrize("count", [1, 7, 300])
def test_small_requests_and_large_ones_give_the_same_predictions(client, tiny, count):
    rows = json.loads(tiny.rows(count, seed=5)[["amount", "town", "age"]].to_json(orient="records"))
    together = client.post(URL, json={"instances": rows}).json()["predictions"]
    alone = [client.post(URL, json={"instances": [row]}).json()["predictions"][0] for row in rows[:20]]
    assert len(together) == count
    for one, other in zip(alone, together, strict=False):
        assert one["prediction"] == other["prediction"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-9)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"instances":[]}',
        b'{"instances":[1]}',
        b'{"instances":[{"amount":1}]}',
        b'{"instances":[{"amount":NaN,"town":"x","age":1}]}',
        b'{"instances":[{"amount":1e999,"town":"x","age":1}]}',
        b'{"instances":[' + b",".join([b"{}"] * 1001) + b"]}",
    ],
)
def test_bad_rows_are_400_and_strict_json(client, body):
    response = client.post(URL, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert "error" in json.loads(response.content, parse_constant=pytest.fail)


def test_cells_of_any_kind_are_read_or_missing(client):
    odd = [10**400, -0.0, True, [1], {"a": 1}, "١٢", "\u0000", "x" * 10_000, None]
    rows = [{"amount": cell, "town": cell, "age": cell} for cell in odd]
    response = client.post(URL, content=json.dumps({"instances": rows}), headers={"Content-Type": "application/json"})
    assert response.status_code == 200
    predictions = json.loads(response.content, parse_constant=pytest.fail)["predictions"]
    assert all(0 <= item["probability"] <= 1 for item in predictions)


def test_pickle_is_refused_and_the_body_is_limited(client):
    pickled = client.post(URL, content=b"x", headers={"Content-Type": "application/vnd.bentoml+pickle"})
    assert 400 <= pickled.status_code < 500
    assert client.post(URL, content=b" " * (5 << 20), headers={"Content-Type": "application/json"}).status_code == 413


def test_health_is_open_and_nothing_else(client):
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
    assert client.get("/docs.json").status_code == 404
    assert client.get(URL).status_code == 405


def test_unreadable_cells_are_told_and_what_nobody_needs_is_ignored(client):
    rows = [{"amount": "rubbish", "town": "Bern", "age": 30, "extra": {"deep": [1, {"a": None}]}}] * 3
    rows += [{"amount": [1], "town": " Bern ", "age": None, "extra": []}]
    for count in (1, 10):  # a few, and a table
        response = client.post(URL, json={"instances": rows * count}).json()
        assert response["warnings"] == {"amount": {"unreadable": 4 * count}}
        plain = [{"amount": None, "town": "Bern", "age": row["age"]} for row in rows * count]
        assert client.post(URL, json={"instances": plain}).json() == {"predictions": response["predictions"]}
