"""Runs a command and tells how long it took and how much memory its processes held together at most."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY = 0.5
"""Seconds between two looks; each costs the system that is measured a few per cent of a core."""


@dataclass(frozen=True)
class Measured:
    """``peak`` is in bytes: the proportional set size of the process and all its descendants, shared pages once."""

    code: int
    seconds: float
    peak: int
    output: str


def measure(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, log: Path | None = None
) -> Measured:
    """Run a command to its end; its output goes to ``log`` as it comes, and is handed back."""
    log = log or Path("/dev/null")
    started = time.monotonic()
    peak = 0
    with log.open("ab+") as stream:
        start = stream.tell()
        child = subprocess.Popen(
            command, cwd=cwd, env=None if env is None else dict(env), stdout=stream, stderr=subprocess.STDOUT
        )
        while True:
            try:
                code = child.wait(EVERY)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, held(child.pid))
        seconds = time.monotonic() - started
        stream.seek(start)
        output = stream.read().decode(errors="replace") if log.is_file() else ""
    return Measured(code, seconds, peak, output)


def held(pid: int) -> int:
    """Return the memory that a process and its descendants hold now, in bytes."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_pss(process) for process in family)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
