"""A2 to A7 against a real gateway process: abuse is answered 4xx, and honest callers are served meanwhile."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest
from ports import free_ports

from pipelines.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.slow]

PREDICT = "/v1/models/demo:predict"
ROW = {"amount": 1, "town": "Bern", "age": 30}
FULL = bool(os.environ.get("AIMASS_FULL"))


@pytest.fixture(scope="module")
def gateway(served: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    port = free_ports(1)[0]
    environment = {**os.environ, "AIMASS_HOME": str(served.settings.home), "AIMASS_GATEWAY_PORT": str(port)}
    log = tmp_path_factory.mktemp("gateway") / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-m", "pipelines.gateway"], env=environment, stderr=stream)
    honest = served.ledger.issue_token("honest", ["predict:demo"], 1)
    abuser = served.ledger.issue_token("abuser", ["predict:demo"], 1)
    base = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:

        def ready() -> bool | None:
            try:
                return client.get("/readyz/demo").status_code == 200 or None
            except httpx.TransportError:
                return None

        try:
            assert wait_until(ready, seconds=60, every=0.05)
            client.headers["Authorization"] = f"Bearer {honest}"
            yield SimpleNamespace(
                client=client, port=port, pid=process.pid, honest=honest, abuser=abuser, log=log, ledger=served.ledger
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def ask(gateway: SimpleNamespace, **changes: Any) -> httpx.Response:
    sent: dict[str, Any] = {"json": {"instances": [ROW]}, **changes}
    reply: httpx.Response = gateway.client.post(PREDICT, **sent)
    return reply


def strict(reply: httpx.Response) -> Any:
    return json.loads(reply.content, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Basic aGk6aG8=",
        "Bearer aimass_wrong",
        "Bearer " + "x" * 30_000,
        "Bearer \xe9\xff".encode("latin-1"),
        "Bearer a b",
    ],
)
def test_tokens_that_are_none_get_401(gateway: SimpleNamespace, header: Any) -> None:
    url = f"http://127.0.0.1:{gateway.port}{PREDICT}"
    value = header if isinstance(header, bytes) else (header or "").encode()
    sent = [] if header is None else [(b"Authorization", value)]
    for address in (url, f"{url}?token={gateway.honest}"):
        reply = httpx.post(address, json={"instances": [ROW]}, headers=sent, trust_env=False)
        assert reply.status_code == 401
        assert strict(reply)["error"]["what"]


def test_a_revoked_token_is_refused_within_five_seconds(gateway: SimpleNamespace) -> None:
    text = gateway.ledger.issue_token("leaving", ["predict"], 1)
    headers = {"Authorization": f"Bearer {text}"}
    assert ask(gateway, headers=headers).status_code == 200
    gateway.ledger.revoke_token("leaving")
    assert wait_until(lambda: ask(gateway, headers=headers).status_code == 401 or None, seconds=5.0, every=0.2)
    log = gateway.log.read_bytes()
    assert all(token.encode() not in log for token in (text, gateway.honest, gateway.abuser))


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /%c0%ae HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"HTTP/1.1 4"),
        (b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", b"HTTP/1.1 400"),
        (b"\x16\x03\x01\x02\x00\x01", b"HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * (1 << 20) + b"\r\n\r\n", b"HTTP/1.1 4"),
        (b"NOTHING\r\n\r\n", b"HTTP/1.1 400"),
    ],
)
def test_what_is_no_http_gets_json_and_the_connection_ends(gateway: SimpleNamespace, raw: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        seen = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(raw)
        with suppress(ConnectionResetError):
            while data := connection.recv(65536):
                seen += data
    assert seen.startswith(status) or not seen
    if seen:
        json.loads(seen.partition(b"\r\n\r\n")[2])


def test_bodies_over_the_cap_are_413_and_cost_no_memory(gateway: SimpleNamespace) -> None:
    process = psutil.Process(gateway.pid)
    before = process.memory_info().rss

    def chunks() -> Iterator[bytes]:
        for _ in range(51):
            yield b" " * (1 << 20)

    sent = {"Authorization": f"Bearer {gateway.abuser}", "Content-Type": "application/json"}
    assert gateway.client.post(PREDICT, content=chunks(), headers=sent).status_code == 413
    assert gateway.client.post(PREDICT, content=b" " * (51 << 20), headers=sent).status_code == 413
    bomb = gzip.compress(b" " * (50 << 20))
    packed = {**sent, "Content-Encoding": "gzip"}
    assert gateway.client.post(PREDICT, content=bomb, headers=packed).status_code == 415
    assert process.memory_info().rss - before < 50e6


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[{"amount":NaN,"town":"x","age":1}]}',
        b'{"instances":[{"amount":Infinity,"town":"x","age":1}]}',
        b'{"instances":[{"amount":1e309,"town":"x","age":1}]}',
        b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"instances":[{"amount":1,"amount":2,"town":"x","age":1}]}',
        b'{"instances":[{"amount":1,"town":"x","age":1}],"more":1}',
        b'{"instances":[{"amount":1,"town":"\\ud800","age":1}]}',
        b'{"instances":[' + b",".join([b"{}"] * 200_000) + b"]}",
        b'{"instances":[{"amount":[1],"town":"x","age":1}]}',
        b'{"instances":[{"amount":{"a":1},"town":"x","age":1}]}',
        b'{"instances":"x"}',
    ],
)
def test_bodies_that_are_no_rows_are_4xx_in_strict_json(gateway: SimpleNamespace, body: bytes) -> None:
    reply = ask(gateway, json=None, content=body, headers={"Content-Type": "application/json"})
    assert 400 <= reply.status_code < 500
    assert strict(reply).keys() == {"error", "request_id"}


@pytest.mark.parametrize("cell", ["abc", 10**309, "1e309", "", " ", "NaN"])
def test_a_cell_that_is_no_number_is_never_taken_for_one_in_silence(gateway: SimpleNamespace, cell: Any) -> None:
    reply = ask(gateway, json={"instances": [{**ROW, "amount": cell}]})
    assert reply.status_code == 200
    assert {warning["column"] for warning in strict(reply)["warnings"]} == {"amount"}


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.bentoml+pickle",
        "application/python-pickle",
        "multipart/form-data; boundary=x",
        "application/xml",
        "text/html",
        "application/x-www-form-urlencoded",
    ],
)
def test_other_media_types_are_refused(gateway: SimpleNamespace, kind: str) -> None:
    body = b"url=http://127.0.0.1:1/x"
    assert ask(gateway, json=None, content=body, headers={"Content-Type": kind}).status_code == 415


def test_many_doubled_keys_do_not_stop_the_gateway(gateway: SimpleNamespace) -> None:
    keys = ",".join(f'"k{index % 20_000}":1' for index in range(40_000))
    body = f'{{"instances":[{{{keys}}}]}}'.encode()
    started = time.monotonic()
    assert ask(gateway, json=None, content=body, headers={"Content-Type": "application/json"}).status_code == 400
    assert gateway.client.get("/healthz").status_code == 200
    assert time.monotonic() - started < 5.0


def test_slow_bodies_of_one_token_leave_others_alone(gateway: SimpleNamespace) -> None:
    head = (
        f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.abuser}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    ).encode()
    slow = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(256)]
    try:
        for connection in slow:
            connection.sendall(head)
        time.sleep(0.5)
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: ask(gateway).status_code, range(100)))
        assert set(statuses) == {200}
        assert ask(gateway, headers={"Authorization": f"Bearer {gateway.abuser}"}).status_code == 429
    finally:
        for connection in slow:
            connection.close()


def test_a_request_line_without_end_is_cut_off(gateway: SimpleNamespace) -> None:
    before = psutil.Process(gateway.pid).memory_info().rss
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        sent = 0
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"GET /")
            while sent < 30 << 20:
                connection.sendall(b"a" * 65536)
                sent += 65536
    assert sent < 30 << 20
    assert psutil.Process(gateway.pid).memory_info().rss - before < 20e6


def test_a_path_forges_no_line_of_the_log(gateway: SimpleNamespace) -> None:
    gateway.client.get("/x%0A2026-01-01 INFO forged %1b[31m")
    assert not [line for line in gateway.log.read_text().splitlines() if line.startswith("2026-01-01")]
    assert b"\x1b" not in gateway.log.read_bytes()


@pytest.mark.parametrize(
    ("address", "headers"),
    [("/v1/models/demo/versions/" + "9" * 5000, {}), ("/v1/usage?month=9999-12", {}), ("/v1/usage?month=0000-00", {})],
)
def test_odd_addresses_are_4xx(gateway: SimpleNamespace, address: str, headers: dict[str, str]) -> None:
    assert 400 <= gateway.client.get(address, headers=headers).status_code < 500


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b'{"inputs":[{"name":"amount","shape":[1],"datatype":[],"data":[1]}]}', None),
        (b'{"inputs":[{"name":"amount","shape":[2,1],"datatype":"FP64","data":[[1,2],[3]]}]}', None),
        (b'{"inputs":[{"name":"amount","shape":[100000000],"datatype":"FP64","data":[1]}]}', None),
        (b"{}", "9" * 5000),
    ],
)
def test_odd_inference_requests_are_4xx(gateway: SimpleNamespace, body: bytes, length: str | None) -> None:
    headers = {} if length is None else {"Inference-Header-Content-Length": length}
    reply = gateway.client.post("/v2/models/demo/infer", content=body, headers=headers)
    assert 400 <= reply.status_code < 500


def test_connections_without_headers_are_closed(gateway: SimpleNamespace) -> None:
    idle = [socket.create_connection(("127.0.0.1", gateway.port), timeout=30) for _ in range(1000 if FULL else 200)]
    try:
        for connection in idle:
            connection.sendall(b"POST /v1")
        assert ask(gateway).status_code == 200
        started = time.monotonic()
        assert idle[0].recv(100) == b""
        assert 5 < time.monotonic() - started < 15
        assert all(connection.recv(100) == b"" for connection in idle)
    finally:
        for connection in idle:
            connection.close()


def test_a_burst_beyond_the_rate_is_429_whatever_address_is_claimed(gateway: SimpleNamespace) -> None:
    bursting = gateway.ledger.issue_token("bursting", ["predict:demo"], 1, rate="100/minute")

    def send(number: int) -> httpx.Response:
        forged = {"Authorization": f"Bearer {bursting}", "X-Forwarded-For": f"10.0.{number // 250}.{number % 250}"}
        return ask(gateway, headers=forged)

    with ThreadPoolExecutor(16) as pool:
        honest = pool.submit(lambda: [ask(gateway).status_code for _ in range(100)])
        replies = list(pool.map(send, range(1_000)))
    statuses = [reply.status_code for reply in replies]
    assert abs(statuses.count(200) - 100) <= 1
    assert statuses.count(429) == 1_000 - statuses.count(200)
    refused = [reply for reply in replies if reply.status_code == 429]
    assert all(1 <= int(reply.headers["Retry-After"]) <= 60 for reply in refused)
    assert strict(refused[0])["error"]["what"]
    assert set(honest.result()) == {200}


TRAVERSALS = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/ledger.db",
    "....//ledger.db",
    "%00",
    "~root",
)


@pytest.mark.parametrize("text", TRAVERSALS)
def test_no_name_in_an_address_leads_to_a_file(gateway: SimpleNamespace, text: str) -> None:
    addresses = [
        f"/v1/models/{text}:predict",
        f"/v1/models/demo/versions/{text}:predict",
        f"/v1/models/demo/labels/{text}:predict",
        f"/v1/models/{text}/metadata",
        f"/models/{text}/invocations",
        f"/v2/models/{text}/infer",
        f"/readyz/{text}",
        f"/static/{text}",
        f"/{text}",
    ]
    for address in addresses:
        request = gateway.client.build_request("POST", "/", json={"instances": [ROW]})
        request.url = request.url.copy_with(raw_path=address.encode())
        for method in ("GET", "POST"):
            request.method = method
            reply = gateway.client.send(request)
            assert 400 <= reply.status_code < 500, (method, address)
            assert b"root:" not in reply.content
            assert b"SQLite" not in reply.content
