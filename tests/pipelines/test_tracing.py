"""Traces reach a real collector: of nights and their stages, of requests through gateway and service."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import grpc
import pyarrow.dataset as pads
import pytest
from collector import Collector, collecting
from gateways import running
from ports import free_ports

from pipelines import logs, tracing
from pipelines.deployment.serve import private_service
from pipelines.gateway.protocols.grpc_messages import SERVICE, classes
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.stage_context import close_night
from pipelines.storage import resolve

SERVER = 2
"""Kind of a span."""
pytestmark = pytest.mark.slow


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.address)
        yield found


def test_off_imports_nothing() -> None:
    code = (
        "import sys, pipelines.__main__, pipelines.runner, pipelines.gateway.app, pipelines.inference.service.server\n"
        "from pipelines import tracing\n"
        "assert tracing.start('x') is None and tracing.environment() == {}\n"
        "print(*[name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_stages_belong_to_their_night_whichever_process_they_are_in(
    home: Settings, make_night, collector: Collector
) -> None:
    night = make_night("manual__2026-03-01T02:00:00+00:00", name="demo")
    with tracing.stage_span("ingest", "demo", night.night, attempt=1):
        pass
    with pytest.raises(ValueError, match="no rows"), tracing.stage_span("tune", "demo", night.night):
        raise ValueError("no rows")
    with Ledger.open(home) as ledger:
        ledger.open_night(night, "local")
        close_night(ledger, "demo", night.night)
    root, ingest, tune = (collector.named(name) for name in ("night demo", "ingest", "tune"))
    assert {ingest["parent"], tune["parent"]} == {root["id"]}
    assert {ingest["trace"], tune["trace"]} == {root["trace"]}
    assert root["parent"] == ""
    assert tune["failed"]
    assert not root["failed"]
    assert [each["facts"]["aimass.run_id"] for each in (root, ingest)] == [night.night] * 2


def test_a_collector_that_is_away_delays_no_night(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with tracing.stage_span("ingest", "demo", "n1"):
        pass
    assert time.monotonic() - started < tracing.SECONDS + 3


def test_one_request_is_one_trace_and_one_id_in_every_log(
    packaged: SimpleNamespace, collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(logs.FORMAT, "json")
    ledger, settings = packaged.ledger, packaged.settings.model_copy(update={"access_log": "all"})
    token = ledger.issue_token("tester", ["predict:demo"], 1)
    golden = json.loads((resolve(settings, ledger.version("demo", 1).model_uri) / "golden.json").read_text())
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"Authorization": f"Bearer {token}", "traceparent": f"00-{trace}-{caller}-01"}
    with private_service(settings, "demo", 1, 60) as address:
        ledger.want("demo", 1, "serve")
        ledger.switch("demo", 1, 0, "test", "test")
        ledger.observe("demo", 1, "ready", address=address)
        with caplog.at_level(logging.INFO), running(settings, Ledger.open(settings)) as client:
            body = {"instances": golden["rows"][:2]}
            answer = client.post("/v1/models/demo:predict", json=body, headers=headers)
            assert answer.status_code == 200
    gateway, asked, served = (collector.named(name) for name in ("POST", "predict demo", "predict"))
    assert {gateway["trace"], asked["trace"], served["trace"]} == {trace}
    assert (gateway["parent"], asked["parent"], served["parent"]) == (caller, gateway["id"], asked["id"])
    assert [each["service"] for each in (gateway, asked, served)] == ["aimass-gateway"] * 2 + ["aimass-service"]
    request_id = answer.headers["x-request-id"]
    assert gateway["facts"]["aimass.request_id"] == asked["facts"]["aimass.request_id"] == request_id
    assert (gateway["facts"]["aimass.status"], gateway["facts"]["aimass.rows"]) == (200, 2)
    (line,) = [record for record in caplog.records if record.name == "pipelines.gateway.access"]
    told = json.loads(logs.JsonLines().format(line))
    assert (told["request_id"], told["trace_id"], told["model"], told["status"]) == (request_id, trace, "demo", 200)
    logged = pads.dataset(settings.storage / "predictions" / "demo", format="parquet").to_table()
    assert set(logged["request_id"].to_pylist()) == {request_id}
    written = (settings.logs / "bento-demo-v1-proof.log").read_text().splitlines()
    ready = next(json.loads(line) for line in written if "ready on" in line)
    assert (ready["part"], ready["model"], ready["version"]) == ("service", "demo", "1")


def test_a_request_over_grpc_has_a_span_like_one_over_http(served: SimpleNamespace, collector: Collector) -> None:
    port, messages = free_ports(1)[0], classes()
    token = served.ledger.issue_token("tracer", ["predict:demo"], 1)
    trace, caller = "1af7651916cd43dd8448eb211c80319c", "b7ad6b7169203332"
    sent = {"authorization": f"Bearer {token}", "traceparent": f"00-{trace}-{caller}-01"}
    request = messages["ModelInferRequest"](model_name="demo")
    for name, datatype in (("amount", "FP64"), ("town", "BYTES"), ("age", "FP64")):
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[1])
        cells = tensor.contents.bytes_contents if datatype == "BYTES" else tensor.contents.fp64_contents
        cells.append(b"Bern" if datatype == "BYTES" else 3.0)
    with (
        running(served.settings, Ledger.open(served.settings), grpc_port=port),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        ask = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=messages["ModelInferRequest"].SerializeToString,
            response_deserializer=messages["ModelInferResponse"].FromString,
        )
        answer = ask(request, metadata=[*sent.items()], timeout=20)
        with pytest.raises(grpc.RpcError) as refused:
            ask(request, metadata=[("authorization", "Bearer none")], timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    ours, stranger = sorted((s for s in collector.spans if s["kind"] == SERVER), key=lambda s: s["trace"] != trace)
    asked = collector.named("predict demo")
    assert (ours["name"], ours["trace"], ours["parent"]) == ("GRPC ModelInfer", trace, caller)
    assert (asked["trace"], asked["parent"]) == (trace, ours["id"])
    assert ours["facts"]["aimass.request_id"] == answer.id
    assert (ours["facts"]["aimass.status"], ours["facts"]["aimass.rows"]) == (200, 1)
    assert (stranger["facts"]["aimass.status"], stranger["failed"]) == (401, False)
