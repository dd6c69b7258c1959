"""What the monitor tells of the platform, of the processes of services, and of what nights took."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr
from receivers import WebServer, serving

from pipelines.ledger import Ledger
from pipelines.monitoring import platform_health as health
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.service_health import service_health
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.stage import look_at_all
from pipelines.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)
SPEC = MonitorSpec()
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def ledger(home: Settings) -> Iterator[Ledger]:
    with Ledger.open(home) as opened:
        yield opened


@pytest.fixture
def airflow(home: Settings) -> Iterator[tuple[Settings, dict[str, Any]]]:
    """An Airflow that says of its parts, and of its queue, what a test puts into the dict."""
    told: dict[str, Any] = {"health": {part: {"status": "healthy"} for part in health.PARTS}, "tasks": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.path.split("?")
            body = told["health"] if asked[0].endswith("/health") else {"task_instances": told["tasks"]}
            told["asked"] = self.path
            self._send(200, body)

        def do_POST(self) -> None:
            self._send(201, {"access_token": "x"})

        def _send(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield home.model_copy(update={"airflow_port": server.server_port}), told
    server.shutdown()
    thread.join()
    server.server_close()


def test_parts_of_airflow_that_do_not_work_are_named(airflow: tuple[Settings, dict[str, Any]]) -> None:
    settings, told = airflow
    assert health.airflow_parts(settings, SPEC).state == "ok"
    told["health"]["triggerer"]["status"] = "unhealthy"
    del told["health"]["scheduler"]
    found = health.airflow_parts(settings, SPEC)
    assert (found.state, found.message.split(": ", 1)[1]) == ("alert", "scheduler: unknown, triggerer: unhealthy")
    gone = settings.model_copy(update={"airflow_port": 1024})
    assert health.airflow_parts(gone, SPEC).state == "unknown", "nobody has started one"
    (settings.secrets / "airflow_passwords.json").write_text('{"admin": "x"}')
    away = health.airflow_parts(gone, SPEC)
    assert (away.state, "gave no answer" in away.message) == ("alert", True)


def test_tasks_that_wait_too_long_are_told(airflow: tuple[Settings, dict[str, Any]]) -> None:
    settings, told = airflow
    assert health.queue(settings, SPEC, NOW).state == "unknown"
    (settings.secrets / "airflow_passwords.json").write_text('{"admin": "x"}')
    assert (health.queue(settings, SPEC, NOW).state, health.queue(settings, SPEC, NOW).value) == ("ok", 0.0)
    told["tasks"] = [{"scheduled_when": (NOW - timedelta(hours=each)).isoformat()} for each in (1, 8)]
    found = health.queue(settings, SPEC, NOW)
    assert (found.state, found.value) == ("alert", 8.0)
    assert "state=scheduled&state=queued" in told["asked"]
    away = settings.model_copy(update={"airflow_port": 1024})
    assert health.queue(away, SPEC, NOW).state == "unknown", "that it is away is told by another check"


@pytest.mark.parametrize(("free", "state"), [(50, "ok"), (1, "alert"), (3, "alert")])
def test_a_disk_that_fills_up(home: Settings, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(int(100e9), 0, int(free * 1e9)))
    assert health.disk(home, SPEC).state == state


def test_nights_that_fail_in_a_row_name_the_last_good_one(ledger: Ledger, make_night: Callable[..., Any]) -> None:
    assert health.nights(SPEC, ledger, "demo", NOW).state == "unknown"
    states = []
    for number, ended in enumerate(["failed", "success", "failed", "failed", "success"]):
        night = make_night(f"n{number}", name="demo")
        ledger.open_night(night, "platform")
        ledger.close_night("demo", night.night, ended)
        states.append(health.nights(SPEC, ledger, "demo", datetime.now(UTC) + timedelta(days=2)))
    assert [each.state for each in states] == ["unknown", "ok", "ok", "alert", "ok"]
    assert states[3].message == "the last good night was 2.0 days ago; 2 failed since (limit 1)"


def test_a_stage_that_nearly_fills_the_memory_is_named(ledger: Ledger) -> None:
    assert health.stages(SPEC, ledger, "demo").state == "unknown"
    for stage, memory in (("tune", 1 << 50), ("ensemble", 1000)):
        took = {"cpu_seconds": 2.0, "gpu_seconds": 0.5, "peak_memory": memory, "bytes_read": 1, "bytes_written": 1}
        ledger.add_task_usage(stage, state="done", seconds=1.0, usage=took, model="demo", night="n1", fence=1)
    found = health.stages(SPEC, ledger, "demo")
    assert found.state == "alert"
    assert found.message.startswith("night n1 took 4 CPU-seconds and 1 GPU-seconds; tune held ")


def test_processes_are_judged_by_what_they_did_since_the_last_look(ledger: Ledger) -> None:
    counters = {"unix:/a": {"process": "p1", "cpu_seconds": 10.0, "rows": 100, "memory": int(3e9)}}
    for version in (1, 2, 3, 4, 5):
        ledger.want("demo", version, "serve")
    ledger.observe("demo", 2, "ready", address="unix:/a unix:/b")

    def look(minutes: int) -> dict[str, Finding]:
        found = service_health(SPEC, ledger, "demo", NOW + timedelta(minutes=minutes), counters.get)
        return {each.kind: each for each in found}

    first = look(0)
    assert {kind: each.state for kind, each in first.items()} == {
        "saturation": "unknown",
        "memory": "alert",
        "versions": "alert",
    }
    assert "3.00 GB" in first["memory"].message
    counters["unix:/a"] |= {"cpu_seconds": 10.0 + 54.0, "rows": 150, "memory": 1000}
    second = look(1)
    assert (second["saturation"].state, second["saturation"].value) == ("alert", pytest.approx(0.9))
    assert second["memory"].state == "ok"
    counters["unix:/a"]["process"] = "p2"
    assert look(2)["saturation"].state == "unknown", "it was started again"
    windows = ledger.windows("demo", "process")
    assert [window.rows for window in windows] == [100, 50, 150]


def test_a_look_at_everything_settles_and_delivers_the_alerts_of_the_platform(
    home: Settings, ledger: Ledger, make_night: Callable[..., Any]
) -> None:
    ledger.open_night(make_night(name="demo"), "platform")
    (home.secrets / "airflow_passwords.json").write_text('{"admin": "x"}')
    with serving(WebServer()) as web:
        changed = {"airflow_port": 1024, "gateway_port": 1025, "alert_webhook": SecretStr(web.address)}
        found = look_at_all(home.model_copy(update=changed), MonitorSpec(probe_seconds=0.5))
    kinds = {(each.model, each.kind) for each in found}
    assert {(None, kind) for kind in ("gateway", "airflow", "queue", "disk", "ledger")} <= kinds
    assert {("demo", kind) for kind in ("nights", "stages", "saturation", "memory", "versions")} <= kinds
    assert {row.kind for row in ledger.alerts()} >= {"gateway", "airflow"}
    assert "FIRING airflow, since" in "".join(body["text"] for _, _, body in web.posts), "in this look, not the next"
    of_platform = [body["text"] for _, _, body in web.posts if "AI Mass: " in body["text"].splitlines()[0]]
    assert len(of_platform) == 1, "what one look found is one message"
    assert "FIRING gateway, since" in of_platform[0]
