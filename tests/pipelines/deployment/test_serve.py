from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from pipelines.deployment.serve import bento_command, find_bento, free_port, private_service
from pipelines.errors import DeployError
from pipelines.inference.manifest import verify_manifest
from pipelines.settings import public_key


def processes_with(text):
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(text in part for part in process.info["cmdline"] or ()):
            found.append(process)
    return found


def listening(port):
    return [
        item for item in psutil.net_connections("inet") if item.status == psutil.CONN_LISTEN and item.laddr.port == port
    ]


def test_the_command_carries_no_secret_of_the_caller(packaged, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:///secret.db")
    argv, environment = bento_command(packaged.settings, "demo", 1, 18555)
    assert argv[-2:] == ["127.0.0.1", "18555"]
    assert not [name for name in environment if name.startswith("AIRFLOW")]
    assert environment["BENTOML_DO_NOT_TRACK"] == "True"


def test_a_changed_bento_is_never_started(packaged):
    path = find_bento(packaged.settings, "demo", 1) / "src" / "service.py"
    text = path.read_text()
    path.write_text(text + "\nprint('evil')\n")
    try:
        with pytest.raises(DeployError, match="differs from its manifest"):
            bento_command(packaged.settings, "demo", 1, 18555)
    finally:
        path.write_text(text)


def test_an_unknown_version_is_named(home):
    with pytest.raises(DeployError, match="version 77 of demo has no bento"):
        bento_command(home, "demo", 77, 18555)


def test_serving_opens_one_loopback_socket_and_changes_no_file(packaged):
    folder = find_bento(packaged.settings, "demo", 1)
    with private_service(packaged.settings, "demo", 1, 60) as url:
        (process,) = processes_with(str(folder))
        everyone = [process, *process.children(recursive=True)]
        sockets = [item for one in everyone for item in one.net_connections() if item.status == psutil.CONN_LISTEN]
        assert [(item.laddr.ip, item.laddr.port) for item in sockets] == [("127.0.0.1", int(url.rpartition(":")[2]))]
        assert httpx.get(f"{url}/livez").status_code == 200
        closed = ("/", "/docs.json", "/metrics", "/schema.json")
        assert {httpx.get(f"{url}{path}").status_code for path in closed} == {404}
    verify_manifest(folder, public_key(packaged.settings))
    assert not processes_with(str(folder))


def test_it_is_stopped_when_the_caller_fails(packaged):
    with pytest.raises(RuntimeError), private_service(packaged.settings, "demo", 1, 60):
        raise RuntimeError
    assert not processes_with(str(find_bento(packaged.settings, "demo", 1)))


def test_it_is_stopped_when_it_is_not_ready_in_time(packaged):
    with pytest.raises(DeployError, match="did not become ready"), private_service(packaged.settings, "demo", 1, 0.05):
        pass
    assert not processes_with(str(find_bento(packaged.settings, "demo", 1)))


def test_it_ends_with_the_process_that_started_it(packaged):
    port = free_port(packaged.settings)
    argv, environment = bento_command(packaged.settings, "demo", 1, port)
    code = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code, *argv, "--with-parent"], env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + 30
        while not listening(port) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert listening(port)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 10
    while listening(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not listening(port)
