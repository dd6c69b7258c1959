"""What a task takes is counted with its child processes, also those that nobody waits for."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines import process_usage
from pipelines.process_usage import Meter, measured

BURN = "import time\nwhile time.process_time() < {}: pass\n"


def python(code: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-S", "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_children_that_were_waited_for_count() -> None:
    with measured(from_birth=False) as meter:
        python(BURN.format(0.3)).communicate()
        seconds = meter.usage().cpu_seconds
    assert 0.28 < seconds < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("parent", ["ignores", "dies"])
def test_children_that_nobody_waits_for_count_once(parent: str) -> None:
    """As Ray's workers: their parent lets the system clear them away, or is gone before them."""
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', sys.argv[1]])\n"
        "time.sleep(60)\n"
    )
    meter = Meter(from_birth=False)
    child = python(code, BURN.format(0.4) + "print(1, flush=True)\ninput()\n")
    assert child.stdout is not None
    child.stdout.readline()
    meter.look()
    (worker,) = [each for each in meter.children if each.ppid() == child.pid]
    if parent == "dies":
        child.kill()
        child.wait()
        meter.look()
    worker.kill()
    time.sleep(0.1)
    first = meter.usage().cpu_seconds
    child.kill()
    child.communicate()
    assert 0.38 < first < 0.7
    assert first <= meter.usage().cpu_seconds < first + 0.1


def test_memory_is_that_of_all_processes_at_one_time() -> None:
    hold = "held = bytearray(80_000_000)\nprint(1, flush=True)\ninput()\n"
    meter = Meter(from_birth=False)
    children = [python(hold) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    meter.look()
    for child in children:
        child.communicate(b"\n")
    assert meter.usage().peak_memory > 160_000_000


def test_another_process_is_measured_from_its_birth(tmp_path: Path) -> None:
    code = f"import os\nfile = open({str(tmp_path / 'x')!r}, 'wb')\nfile.write(bytes(5_000_000))\nfile.flush()\n"
    child = python(code + "os.fsync(file.fileno())\n" + BURN.format(0.2) + "print(1, flush=True)\ninput()\n")
    assert child.stdout is not None
    child.stdout.readline()
    usage = Meter(child.pid).usage()
    told = Path(f"/proc/{child.pid}/io").read_text()
    child.communicate(b"\n")
    assert usage.cpu_seconds >= 0.18
    assert f"write_bytes: {usage.bytes_written}\n" in told
    assert f"read_bytes: {usage.bytes_read}\n" in told


@pytest.mark.parametrize(("gpus", "held"), [(0, 0.0), (1, 0.3), (4, 0.6)])
def test_gpus_are_held_by_those_that_compute_on_them(tmp_path: Path, gpus: int, held: float) -> None:
    device = tmp_path / "nvidia-uvm"
    device.touch()
    children = [
        python("import sys\nheld = open(sys.argv[1])\nprint(1, flush=True)\ninput()\n", str(device)) for _ in "ab"
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    meter = Meter(cuda=device, gpus=gpus)
    time.sleep(0.3)
    meter.look()
    for child in children:
        child.communicate(b"\n")
    assert meter.usage().gpu_seconds == pytest.approx(held, abs=0.15)


def test_looks_go_on_meanwhile_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_usage, "LOOK_SECONDS", 0.02)
    with measured(from_birth=False) as meter:
        child = python("input()")
        deadline = time.monotonic() + 10
        while child.pid not in _pids(meter) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.pid in _pids(meter)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        process_usage.look()
        assert child.pid not in _pids(meter)
    assert not process_usage._running


def _pids(meter: Meter) -> list[int]:
    return [each.pid for each in meter.children]
