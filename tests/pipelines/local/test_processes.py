"""Ports and processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from pipelines.errors import SpecError
from pipelines.local.airflow_config import MARK
from pipelines.local.processes import check_ports, end_idle_orphans, holder, mark_of, marked, port_is_free, sweep
from pipelines.settings import Settings

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_taken_port_is_named_with_its_holder_and_cure(taken: int) -> None:
    assert not port_is_free("127.0.0.1", taken)
    found = holder(taken)
    assert found is not None
    assert found.pid == os.getpid()
    with pytest.raises(SpecError) as caught:
        check_ports("127.0.0.1", {"airflow_port": taken, "mlflow_port": taken})
    text = str(caught.value)
    assert f"port {taken} is taken by process {os.getpid()}" in text
    assert "AIMASS_AIRFLOW_PORT changes it" in text
    assert f"port {taken} is asked for twice: by AIMASS_AIRFLOW_PORT and AIMASS_MLFLOW_PORT" in text


def test_free_ports_pass(taken: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    check_ports("127.0.0.1", {"airflow_port": port})


def start(home: Settings, code: str, mark: str | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, MARK: mark or mark_of(home)}
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


def test_sweep_ends_the_stubborn_and_their_children_but_nobody_else(home: Settings) -> None:
    parent = start(
        home,
        "import os, subprocess, sys; "
        f"subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], env={{}}, start_new_session=True); " + STUBBORN,
    )
    other = start(home, STUBBORN, mark="another")
    try:
        deadline = time.monotonic() + 5
        while len(marked(home)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert {process.pid for process in marked(home)} >= {parent.pid}
        assert len(marked(home)) == 2, "a child with another environment belongs to it"
        assert sweep(home, grace=0.3) == []
        assert not psutil.pid_exists(parent.pid)
        assert other.poll() is None
        assert not marked(home)
    finally:
        for child in (parent, other):
            child.kill()
            child.wait()


def test_idle_workers_of_a_killed_scheduler_are_ended_and_busy_ones_are_not(home: Settings) -> None:
    titled = "import sys, time; print('up', flush=True); time.sleep(60)"
    children = []
    try:
        for title in ("airflow worker -- LocalExecutor: <idle>", "airflow worker -- LocalExecutor: train.tune"):
            child = subprocess.Popen(
                [sys.executable, "-c", titled, title],
                env={**os.environ, MARK: mark_of(home)},
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            assert child.stdout is not None
            child.stdout.readline()
            children.append(child)
        supervisor = start(home, STUBBORN)
        children.append(supervisor)
        assert end_idle_orphans(home, supervisor.pid) == [children[0].pid]
        assert children[1].poll() is None
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_caller_is_never_swept(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.Process, "environ", lambda _: {MARK: mark_of(home)})
    assert os.getpid() not in {process.pid for process in marked(home)}
    assert os.getppid() not in {process.pid for process in marked(home)}
