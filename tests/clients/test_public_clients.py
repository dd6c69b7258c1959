"""Clients that exist already get right predictions without a change: Triton's over HTTP and gRPC, schemathesis."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import grpc
import pytest
from gateways import running
from ports import free_ports

from pipelines.gateway.protocols.grpc_messages import SERVICE, classes

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".clients" / "bin" / "python"
NAMES = ("amount", "town", "age")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(served: SimpleNamespace) -> Any:
    port = free_ports(1)[0]
    token = served.ledger.issue_token("client", ["predict:demo"], 1)
    with running(served.settings, served.ledger, grpc_port=port) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield SimpleNamespace(client=client, rpc=f"127.0.0.1:{port}", token=token)


@pytest.fixture(scope="module")
def rows(tiny: ModuleType) -> list[dict[str, Any]]:
    found = json.loads(tiny.rows(40, seed=5)[list(NAMES)].to_json(orient="records"))
    plain = [row for row in found if not isinstance(row["amount"], str) and not isinstance(row["age"], str)]
    return [*plain, {"amount": None, "town": "Genève", "age": 40}, {"amount": 5, "town": None, "age": None}]


@pytest.fixture(scope="module")
def expected(live: SimpleNamespace, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    found = live.client.post("/v1/models/demo:predict", json={"instances": rows}).json()["predictions"]
    return {name: [row[name] for row in found] for name in ("prediction", "probability")}


@pytest.mark.skipif(not PYTHON.exists(), reason="the clients' environment is not built: make .clients/.built")
def test_tritons_clients_at_their_defaults(
    live: SimpleNamespace, rows: list[dict[str, Any]], expected: dict[str, list[Any]], tmp_path: Path
) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    http = f"{live.client.base_url.host}:{live.client.base_url.port}"
    command = [PYTHON, Path(__file__).with_name("triton_calls.py"), http, live.rpc, live.token, tmp_path / "rows.json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["http"] == found["grpc"] == expected
    assert found["http_json"] == expected["probability"]
    assert found["http_ready"] == found["grpc_ready"] == [True, True, True]
    assert not found["grpc_not_ready"]
    assert [each["name"] for each in found["http_metadata"]["inputs"]] == found["grpc_inputs"] == list(NAMES)
    for status, message in (found["http_error"], found["grpc_error"]):
        assert status in ("400", "StatusCode.INVALID_ARGUMENT")
        assert "'town', 'age'" in message
    assert found["grpc_stranger"][0] == "StatusCode.UNAUTHENTICATED"


def infer(live: SimpleNamespace, request: Any, **metadata: str) -> Any:
    messages = classes()
    with grpc.insecure_channel(live.rpc) as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=messages["ModelInferRequest"].SerializeToString,
            response_deserializer=messages["ModelInferResponse"].FromString,
        )
        sent = {"authorization": f"Bearer {live.token}", **metadata}
        return call(request, metadata=list(sent.items()), timeout=20)


def request_of(rows: list[dict[str, Any]], **fields: Any) -> Any:
    """Make a request with typed contents."""
    request = classes()["ModelInferRequest"](model_name="demo", **fields)
    for name in NAMES:
        cells = [row[name] for row in rows]
        if name == "town":
            tensor = request.inputs.add(name=name, datatype="BYTES", shape=[len(cells)])
            tensor.contents.bytes_contents.extend(str(cell).encode() for cell in cells)
        else:
            tensor = request.inputs.add(name=name, datatype="FP64", shape=[len(cells), 1])
            tensor.contents.fp64_contents.extend(float("nan") if cell is None else cell for cell in cells)
    return request


def test_typed_contents_are_read_too(
    live: SimpleNamespace, rows: list[dict[str, Any]], expected: dict[str, list[Any]]
) -> None:
    response = infer(live, request_of(rows, id="mine", model_version="1"))
    assert (response.model_name, response.model_version, response.id) == ("demo", "1", "mine")
    assert [each.name for each in response.outputs] == ["prediction", "probability"]
    import numpy as np

    assert np.frombuffer(response.raw_output_contents[1], "<f8").tolist() == expected["probability"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model_name": "other"}, "PERMISSION_DENIED"),
        ({"model_version": "7"}, "NOT_FOUND"),
        ({"model_version": "x"}, "NOT_FOUND"),
        ({"raw_input_contents": [b"x"]}, "INVALID_ARGUMENT"),
        ({"outputs": [{"name": "other"}]}, "INVALID_ARGUMENT"),
        ({"inputs": [{"name": "amount", "datatype": "FP64", "shape": [1, 2]}]}, "INVALID_ARGUMENT"),
        ({"inputs": [{"name": "amount", "datatype": "FP8", "shape": [1]}]}, "INVALID_ARGUMENT"),
        ({"inputs": [{"name": "", "datatype": "FP64", "shape": [1]}]}, "INVALID_ARGUMENT"),
        ({"inputs": []}, "INVALID_ARGUMENT"),
    ],
)
def test_what_is_refused_has_a_code(live: SimpleNamespace, change: dict[str, Any], code: str) -> None:
    request = request_of([{"amount": 1, "town": "Bern", "age": 30}])
    for name, value in change.items():
        request.ClearField(name)
        request.MergeFrom(classes()["ModelInferRequest"](**{name: value}))
    with pytest.raises(grpc.RpcError) as caught:
        infer(live, request)
    assert caught.value.code().name == code


def test_a_wrong_token_is_refused(live: SimpleNamespace) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        infer(live, request_of([{"amount": 1, "town": "Bern", "age": 30}]), authorization="Bearer wrong")
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.skipif(not PYTHON.exists(), reason="the clients' environment is not built: make .clients/.built")
def test_schemathesis_finds_nothing(live: SimpleNamespace, served: SimpleNamespace, tmp_path: Path) -> None:
    token = served.ledger.issue_token("fuzzer", ["predict", "explain"], 1)
    examples = "2000" if os.environ.get("AIMASS_FULL") else "60"
    command = [
        str(PYTHON.with_name("schemathesis")),
        "run",
        f"{live.client.base_url}/openapi.json",
        "--header",
        f"Authorization: Bearer {token}",
        "--max-examples",
        examples,
        "--checks",
        "all",
        "--no-color",
        "--generation-deterministic",
        "--suppress-health-check",
        "all",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
