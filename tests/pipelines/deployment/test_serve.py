from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.deployment.serve import bento_command, find_bento, private_service, short_folder
from pipelines.errors import DeployError
from pipelines.inference.manifest import verify_manifest
from pipelines.inference.service.client import ServiceClient, is_ready
from pipelines.secret_files import public_key


def processes_with(text):
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(text in part for part in process.info["cmdline"] or ()):
            found.append(process)
    return found


def test_the_command_carries_no_secret_of_the_caller(packaged, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:///secret.db")
    argv, environment = bento_command(packaged.settings, "demo", 1, Path("/run/x/demo"))
    assert argv[-1] == "/run/x/demo"
    assert not [name for name in environment if name.startswith("AIRFLOW")]


def test_a_changed_bento_is_never_started(packaged):
    path = find_bento(packaged.settings, "demo", 1) / "src" / "service.py"
    text = path.read_text()
    path.write_text(text + "\nprint('evil')\n")
    try:
        with pytest.raises(DeployError, match="differs from its manifest"):
            bento_command(packaged.settings, "demo", 1, Path("/run/x/demo"))
    finally:
        path.write_text(text)


def test_an_unknown_version_is_named(home):
    with pytest.raises(DeployError, match="version 77 of demo has no bento"):
        bento_command(home, "demo", 77, Path("/run/x/demo"))


def test_serving_opens_one_private_socket_and_changes_no_file(packaged):
    folder = find_bento(packaged.settings, "demo", 1)
    with private_service(packaged.settings, "demo", 1, 60) as address:
        (process,) = processes_with(str(folder))
        everyone = [process, *process.children(recursive=True)]
        assert [item for one in everyone for item in one.net_connections()] == []
        socket = Path(address.removeprefix("unix:"))
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        with ServiceClient(address) as client:
            described = client.call("describe")
            assert (described["model"], described["positive"]) == ("demo", "yes")
            with pytest.raises(DeployError, match="the model failed"):
                client.call("unknown")
            assert client.call("ping") == {"ready": True}
    assert not socket.parent.exists()
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
    socket = short_folder() / "demo"
    argv, environment = bento_command(packaged.settings, "demo", 1, socket)
    code = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code, *argv, "--with-parent"], env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + 30
        while not is_ready(f"unix:{socket}") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert is_ready(f"unix:{socket}")
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 10
    while is_ready(f"unix:{socket}") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_ready(f"unix:{socket}")
