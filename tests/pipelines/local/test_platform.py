"""Up, down and status, with small parts instead of Airflow and MLflow; tests/e2e has the real ones."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from ports import free_ports

from pipelines.errors import AimassError, SpecError
from pipelines.local import health, platform, supervisor
from pipelines.local.components import Component
from pipelines.local.keep import keep
from pipelines.local.processes import marked
from pipelines.settings import Settings, load

pytestmark = pytest.mark.slow

SERVER = """
import http.server, os, signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def settings(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A home with free ports; whatever a failing test leaves is stopped."""
    names = ("airflow_port", "mlflow_port", "gateway_port")
    chosen = load(**dict(zip(names, free_ports(3), strict=True)))
    yield chosen
    platform.down(chosen)


@pytest.fixture
def small(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same platform with three small servers as its parts."""

    def parts(of: Settings) -> list[Component]:
        ports = {"airflow-scheduler": of.airflow_port, "mlflow": of.mlflow_port, "gateway": of.gateway_port}
        return [
            Component(
                name,
                [sys.executable, "-c", SERVER, str(port)],
                port,
                f"http://127.0.0.1:{port}/",
                2.0,
                first=name.endswith("scheduler"),
            )
            for name, port in ports.items()
        ]

    for module in (platform, health):
        monkeypatch.setattr(module, "components", parts)
    monkeypatch.setattr(health, "all_components", parts)
    monkeypatch.setattr(platform, "prepare_databases", lambda *_: None)
    return settings


def pid_of(settings: Settings, name: str) -> int | None:
    return next(part.pid for part in platform.status(settings) if part.component == name)


def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def nothing_is_left(settings: Settings) -> bool:
    ports = (settings.airflow_port, settings.mlflow_port, settings.gateway_port)
    return not marked(settings) and all(httpx_refused(port) for port in ports)


def httpx_refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_up_twice_status_and_down(small: Settings) -> None:
    said: list[str] = []
    assert [part.state for part in platform.status(small)] == ["stopped"] * 3
    parts = platform.up(small, said.append)
    assert [(part.component, part.state) for part in parts] == [
        ("airflow-scheduler", "running"),
        ("mlflow", "running"),
        ("gateway", "running"),
    ]
    assert "starting" in said
    before = [part.pid for part in parts]
    assert [part.pid for part in platform.up(small, said.append)] == before
    assert said[-1] == "already running"
    running = supervisor.current(small)
    assert running is not None
    assert Path(running.folder).stat().st_mode & 0o777 == 0o700
    assert max(len(str(path)) for path in Path(running.folder).iterdir()) < 100
    assert listening_beyond_loopback(small) == []
    platform.down(small, said.append)
    assert said.index("stopping airflow-scheduler") < said.index("stopping the rest")
    assert nothing_is_left(small)
    assert not Path(running.folder).exists()
    platform.down(small)


def test_part_that_dies_comes_back(small: Settings) -> None:
    platform.up(small)
    before = pid_of(small, "gateway")
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of(small, "gateway") not in (None, before))
    assert (small.logs / "gateway.log").stat().st_mode & 0o077 == 0


def test_killed_supervisor_is_recovered_from(small: Settings) -> None:
    platform.up(small)
    running = supervisor.current(small)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    psutil.Process(running.pid).wait(5)
    assert marked(small), "its children still hold the ports"
    assert [part.state for part in platform.up(small)] == ["running"] * 3
    assert not Path(running.folder).exists()
    platform.down(small)
    assert nothing_is_left(small)


def test_whoever_keeps_the_platform_starts_a_killed_one_again_and_leaves_a_stopped_one_alone(
    small: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "at_boot.json"
    file.touch()
    keeper = threading.Thread(target=keep, args=(small, file), kwargs={"every": 0.2, "again": 0.2})
    with socket.socket() as server:
        server.bind(("127.0.0.1", small.mlflow_port))
        server.listen()
        keeper.start()
        time.sleep(0.5)
        assert supervisor.current(small) is None, "a port is taken"
    try:
        until(lambda: {part.state for part in platform.status(small)} == {"running"})
        first = supervisor.current(small)
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: (now := supervisor.current(small)) is not None and now.pid != first.pid)
        until(lambda: {part.state for part in platform.status(small)} == {"running"})
        until(lambda: not down_refused(small))
        time.sleep(0.6)
        assert supervisor.recall(small) is None, "who stops it wants it stopped"
    finally:
        file.unlink()
        keeper.join(30)
    assert not keeper.is_alive()
    assert nothing_is_left(small)


def down_refused(settings: Settings) -> bool:
    """Stop it, unless another command is just at work."""
    try:
        platform.down(settings)
    except AimassError:
        return True
    return False


def test_down_after_a_killed_supervisor_leaves_nothing(small: Settings) -> None:
    platform.up(small)
    running = supervisor.current(small)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    psutil.Process(running.pid).wait(5)
    platform.down(small)
    assert nothing_is_left(small)


def test_taken_port_starts_nothing(small: Settings) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", small.mlflow_port))
        server.listen()
        with pytest.raises(SpecError, match="port is not free") as caught:
            platform.up(small)
    assert f"port {small.mlflow_port} is taken by process {os.getpid()}" in str(caught.value)
    assert "AIMASS_MLFLOW_PORT" in str(caught.value)
    assert nothing_is_left(small)


def test_other_ports_while_running_are_refused(small: Settings) -> None:
    platform.up(small)
    other = small.model_copy(update={"gateway_port": free_ports(1)[0]})
    with pytest.raises(SpecError, match="runs on other ports"):
        platform.up(other)


def test_part_that_cannot_start_ends_up_with_its_log(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import time; print('no such database', flush=True); time.sleep(0.4); raise SystemExit(1)"
    broken = Component("mlflow", [sys.executable, "-c", code], None, "http://127.0.0.1:9/")
    for module in (platform, health):
        monkeypatch.setattr(module, "components", lambda _: [broken])
    with pytest.raises(AimassError, match="mlflow ends again and again") as caught:
        platform.up(small)
    assert "no such database" in caught.value.seen
    assert nothing_is_left(small)


def test_two_commands_at_once(small: Settings) -> None:
    with platform._alone(small), pytest.raises(AimassError, match="by another command"):
        platform.up(small)


def test_restart_needs_a_platform(small: Settings) -> None:
    with pytest.raises(SpecError, match="does not run"):
        platform.restart(small, "gateway")


def listening_beyond_loopback(settings: Settings) -> list[str]:
    """Return every listening socket of the platform that is not on loopback."""
    return [
        f"{process.name()} {connection.laddr.ip}:{connection.laddr.port}"
        for process in marked(settings)
        for connection in process.net_connections(kind="inet")
        if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE) and connection.laddr.ip != "127.0.0.1"
    ]
