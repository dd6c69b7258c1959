"""One model, four ways to ask for it: each gives the predictions of our own protocol."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from gateways import running

pytestmark = pytest.mark.slow

NAMES = ("amount", "town", "age")


@pytest.fixture(scope="module")
def client(served: SimpleNamespace) -> Iterator[httpx.Client]:
    with running(served.settings, served.ledger) as client:
        token = served.ledger.issue_token("speaker", ["predict:demo", "explain"], 1)
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture(scope="module")
def rows(tiny: ModuleType) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(tiny.rows(30, seed=5)[list(NAMES)].to_json(orient="records"))
    plain = [row for row in found if not isinstance(row["amount"], str) and not isinstance(row["age"], str)]
    return [*plain, {"amount": None, "town": "Bern", "age": 40}, {"amount": 5, "town": None, "age": 40}]


@pytest.fixture(scope="module")
def expected(client: httpx.Client, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reply = client.post("/v1/models/demo:predict", json={"instances": rows})
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["predictions"]
    return found


def columns_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in NAMES}


@pytest.mark.parametrize("address", ["/v1/models/demo", "/v1/models/demo/versions/1", "/v1/models/demo/labels/live"])
def test_tensorflow_serving_by_row_and_by_column(
    client: httpx.Client, rows: list[dict[str, Any]], expected: list[dict[str, Any]], address: str
) -> None:
    by_row = client.post(f"{address}:predict", json={"signature_name": "serving_default", "instances": rows}).json()
    assert (by_row["predictions"], by_row["model_version"]) == (expected, 1)
    for inputs in (columns_of(rows), {name: [[cell] for cell in cells] for name, cells in columns_of(rows).items()}):
        by_column = client.post(f"{address}:predict", json={"inputs": inputs}).json()
        assert by_column["outputs"] == {name: [row[name] for row in expected] for name in expected[0]}
        assert by_column["warnings"] == by_row["warnings"]


def test_a_model_tells_its_state_and_what_it_needs(client: httpx.Client, rows: list[dict[str, Any]]) -> None:
    (state,) = client.get("/v1/models/demo").json()["model_version_status"]
    assert (state["version"], state["state"]) == ("1", "AVAILABLE")
    facts = client.get("/v1/models/demo/metadata").json()
    assert [column["name"] for column in facts["columns"]] == ["amount", "town", "age"]
    assert client.post("/v1/models/demo:predict", json={"instances": [facts["example"]]}).status_code == 200
    assert client.get("/v1/models/demo/versions/7").status_code == 404
    explained = client.post("/v1/models/demo:explain", json={"instances": rows[:1]}).json()["explanation"]
    assert {"raw", "clean", "features", "members", "answer"} <= explained.keys()
    assert client.post("/v1/models/demo:explain", json={"instances": rows[:2]}).status_code == 400


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs", "csv"])
def test_mlflow_in_all_its_forms(
    client: httpx.Client, rows: list[dict[str, Any]], expected: list[dict[str, Any]], form: str
) -> None:
    bodies: dict[str, Any] = {
        "dataframe_split": {"columns": list(NAMES), "data": [[row[name] for name in NAMES] for row in rows]},
        "dataframe_records": rows,
        "instances": rows,
        "inputs": columns_of(rows),
    }
    address = "/models/demo/invocations"
    if form == "csv":
        lines = [",".join("" if row[name] is None else str(row[name]) for name in NAMES) for row in rows]
        text = "\n".join([",".join(NAMES), *lines])
        reply = client.post(address, content=text.encode(), headers={"Content-Type": "text/csv; charset=utf-8"})
    else:
        reply = client.post(address, json={form: bodies[form]})
    assert reply.status_code == 200, reply.text
    assert reply.json() == {"predictions": expected}
    assert client.get("/models/demo/ping", headers={"Authorization": ""}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dataframe_split": {"columns": ["amount"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["amount", "amount"], "data": []}},
        {"dataframe_split": 3},
        {"dataframe_records": [], "inputs": []},
        {"instances": [3]},
    ],
)
def test_what_mlflow_clients_get_for_a_bad_body(client: httpx.Client, body: dict[str, Any]) -> None:
    reply = client.post("/models/demo/invocations", json=body)
    assert reply.status_code == 400
    assert reply.json().keys() == {"error_code", "message"}


def texts(cells: list[Any]) -> bytes:
    raws = [str(cell).encode() for cell in cells]
    return b"".join(struct.pack("<I", len(raw)) + raw for raw in raws)


def tensors(rows: list[dict[str, Any]], number: str, binary: bool) -> tuple[list[dict[str, Any]], bytes]:
    """Return inputs of the protocol and the raw bytes behind them."""
    kinds = {"FP64": "<f8", "FP32": "<f4"}
    inputs, tail = [], b""
    for name, cells in columns_of(rows).items():
        text = name == "town"
        described: dict[str, Any] = {"name": name, "shape": [len(rows), 1], "datatype": "BYTES" if text else number}
        if binary:
            numbers = [np.nan if cell is None else cell for cell in cells]
            raw = texts(cells) if text else np.array(numbers, dtype=kinds[number]).tobytes()
            described["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            described["data"] = cells
        inputs.append(described)
    return inputs, tail


@pytest.mark.parametrize("number", ["FP64", "FP32"])
@pytest.mark.parametrize("binary", [True, False])
def test_open_inference_in_json_and_in_raw_bytes(
    client: httpx.Client, rows: list[dict[str, Any]], expected: list[dict[str, Any]], number: str, binary: bool
) -> None:
    inputs, tail = tensors(rows, number, binary)
    head = json.dumps({"inputs": inputs, "id": "mine", "parameters": {"binary_data_output": binary}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))} if binary else {}
    reply = client.post("/v2/models/demo/infer", content=head + tail, headers=headers)
    assert reply.status_code == 200, reply.text
    size = int(reply.headers.get("inference-header-content-length", len(reply.content)))
    content, raw = json.loads(reply.content[:size]), reply.content[size:]
    assert (content["model_name"], content["model_version"], content["id"]) == ("demo", "1", "mine")
    labels, chances = content["outputs"]
    assert (labels["datatype"], chances["datatype"]) == ("BYTES", "FP64")
    if not binary:
        assert labels["data"] == [row["prediction"] for row in expected]
        assert chances["data"] == [row["probability"] for row in expected]
        return
    split = labels["parameters"]["binary_data_size"]
    assert raw[:split] == texts([row["prediction"] for row in expected])
    assert np.frombuffer(raw[split:], "<f8").tolist() == [row["probability"] for row in expected]


def test_open_inference_names_what_it_has(client: httpx.Client) -> None:
    facts = client.get("/v2/models/demo").json()
    assert [(each["name"], each["datatype"]) for each in facts["inputs"]] == [
        ("amount", "FP64"),
        ("town", "BYTES"),
        ("age", "FP64"),
    ]
    assert [each["name"] for each in facts["outputs"]] == ["prediction", "probability"]
    assert client.get("/v2/models/demo/ready").status_code == 200
    assert client.get("/v2/models/demo/versions/9/ready").status_code == 400
    assert client.get("/v2/health/live").status_code == 200
    assert "binary_tensor_data" in client.get("/v2").json()["extensions"]


INPUT = {"name": "amount", "shape": [1], "datatype": "FP64", "data": [1]}


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": 3},
        {"inputs": [3]},
        {"inputs": [INPUT]},
        {"inputs": [INPUT, INPUT]},
        {"inputs": [{**INPUT, "shape": [2]}]},
        {"inputs": [{**INPUT, "shape": [1, 2]}]},
        {"inputs": [{**INPUT, "shape": "x"}]},
        {"inputs": [{**INPUT, "datatype": "FP8"}]},
        {"inputs": [{**INPUT, "data": {"a": 1}}]},
        {"inputs": [{**INPUT, "parameters": {"binary_data_size": 8}}]},
        {"outputs": 3},
        {"outputs": [{"name": "other"}]},
    ],
)
def test_open_inference_refuses_with_one_line(client: httpx.Client, change: dict[str, Any]) -> None:
    inputs, _ = tensors([{"amount": 1, "town": "Bern", "age": 30}], "FP64", False)
    reply = client.post("/v2/models/demo/infer", json={"inputs": inputs, **change})
    assert reply.status_code == 400
    assert list(reply.json()) == ["error"]
    assert isinstance(reply.json()["error"], str)


@pytest.mark.parametrize("raw", [b"", b"\x05\x00\x00\x00Ber", b"\xff\xff\xff\xff", b"\x01\x00\x00\x00\xff", b"\x01"])
def test_raw_texts_that_are_none_are_refused(client: httpx.Client, raw: bytes) -> None:
    inputs, _ = tensors([{"amount": 1, "town": "Bern", "age": 30}], "FP64", False)
    inputs[1] = {"name": "town", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": inputs}).encode()
    for length in (len(head), len(head) + 1000):
        headers = {"Inference-Header-Content-Length": str(length)}
        assert client.post("/v2/models/demo/infer", content=head + raw, headers=headers).status_code == 400


@pytest.mark.parametrize("address", ["/v1/models/demo:predict", "/models/demo/invocations", "/v2/models/demo/infer"])
def test_compressed_bodies_and_other_types_are_415(client: httpx.Client, address: str) -> None:
    sent = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert client.post(address, content=b"\x1f\x8b", headers=sent).status_code == 415
    for kind in ("application/vnd.bentoml+pickle", "application/xml", "multipart/form-data; boundary=x"):
        assert client.post(address, content=b"x", headers={"Content-Type": kind}).status_code == 415
