"""What a process and all that it starts take: CPU time, memory, storage traffic, GPU time.

Linux adds to a process what its children took, but only of those it has waited for. Ray's workers are children of a
process that never waits, and what is killed leaves orphans. So the living descendants are looked at every two seconds
and before they are ended on purpose (:func:`look`); what vanished without being added to its parent is added here.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

LOOK_SECONDS = 2.0
CUDA = Path("/dev/nvidia-uvm")
"""What a process that computes on an NVIDIA GPU holds open; one that only asks for its state does not."""


@dataclass(frozen=True)
class ProcessUsage:
    """What a task took, its child processes included.

    Parameters
    ----------
    cpu_seconds
        Of all cores together.
    gpu_seconds
        Seconds for which processes held a GPU, times the GPUs that they held.
    peak_memory
        Bytes: the most that the processes held at one time, what they share counted once.
    bytes_read, bytes_written
        From and to storage; what the page cache held is not read. None: this machine does not tell.
    """

    cpu_seconds: float
    gpu_seconds: float
    peak_memory: int
    bytes_read: int | None
    bytes_written: int | None

    def as_columns(self) -> dict[str, Any]:
        """Return the figures by the names of the ledger's columns."""
        return asdict(self)


@dataclass(frozen=True)
class _Figures:
    """Of one process: its own CPU seconds, those of children it waited for; bytes, children's included."""

    parent: int
    own: float
    children: float
    read: int
    written: int
    private: int
    shared: int
    cuda: bool

    def added(self) -> tuple[float, float, float]:
        """Return what its parent would be given on waiting for it."""
        return self.own + self.children, float(self.read), float(self.written)


class Meter:
    """Measures one process and its descendants.

    Parameters
    ----------
    pid
        None: this process.
    from_birth
        Whether what it took before now counts.
    cuda
        The device file by which a process is known to use a GPU.
    gpus
        Most GPUs that can be held at a time.
    """

    def __init__(self, pid: int | None = None, *, from_birth: bool = True, cuda: Path = CUDA, gpus: int = 0) -> None:
        self._root = psutil.Process(pid)
        self._cuda, self._gpus = str(cuda), gpus
        self._storage = True
        self._seen: dict[psutil.Process, _Figures] = {}
        self._lost = (0.0, 0.0, 0.0)
        self._gpu_seconds, self._looked = 0.0, time.monotonic()
        self._peak = 0
        self._lock = threading.Lock()
        self._before = (0.0, 0.0, 0.0)
        if not from_birth:
            self.look()
            self._before = self._total()

    @property
    def children(self) -> list[psutil.Process]:
        """The descendants of the last look."""
        return [process for process in self._seen if process != self._root]

    def look(self) -> None:
        """Read the figures of the living processes, and add up those of the ones that are gone."""
        with self._lock:
            descendants: list[psutil.Process] = []
            with suppress(psutil.Error):
                descendants = self._root.children(recursive=True)
            found = {}
            for process in dict.fromkeys((self._root, *descendants, *self._seen)):
                figures = self._read(process)
                if figures is not None:
                    found[process] = figures
            self._add_lost(found)
            self._seen = found
            self._peak = max(
                self._peak,
                sum(one.private for one in found.values()) + max((one.shared for one in found.values()), default=0),
            )
            now = time.monotonic()
            self._gpu_seconds += (now - self._looked) * min(self._gpus, sum(one.cuda for one in found.values()))
            self._looked = now

    def usage(self) -> ProcessUsage:
        """Look once more, and return what was taken so far."""
        self.look()
        total = [now - before for now, before in zip(self._total(), self._before, strict=True)]
        peak = self._peak
        if self._root.pid == os.getpid():
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
                peak = max(peak, resource.getrusage(who).ru_maxrss * 1024)
        read, written = (max(0, round(each)) if self._storage else None for each in total[1:])
        return ProcessUsage(round(total[0], 3), round(self._gpu_seconds, 3), peak, read, written)

    def _total(self) -> tuple[float, float, float]:
        parts = [self._lost, *(one.added() for one in self._seen.values())]
        cpu, read, written = (sum(column) for column in zip(*parts, strict=True))
        return cpu, read, written

    def _read(self, process: psutil.Process) -> _Figures | None:
        try:
            with process.oneshot():
                cpu, memory, parent = process.cpu_times(), process.memory_info(), process.ppid()
                read, written = self._traffic(process)
            cuda = self._gpus > 0 and self._holds_gpu(process.pid)
        except psutil.ZombieProcess:  # its parent has not waited for it yet
            return self._seen.get(process)
        except psutil.Error:
            return None
        own, children = cpu.user + cpu.system, cpu.children_user + cpu.children_system
        return _Figures(parent, own, children, read, written, memory.rss - memory.shared, memory.shared, cuda)

    def _traffic(self, process: psutil.Process) -> tuple[int, int]:
        try:
            counters = process.io_counters()
        except (psutil.AccessDenied, OSError, RuntimeError, NotImplementedError):
            self._storage = self._storage and process != self._root
            return 0, 0
        return counters.read_bytes, counters.write_bytes

    def _holds_gpu(self, pid: int) -> bool:
        folder = f"/proc/{pid}/fd"
        with suppress(OSError):  # the process has ended
            for name in os.listdir(folder):
                with suppress(FileNotFoundError):  # closed meanwhile
                    if os.readlink(f"{folder}/{name}") == self._cuda:
                        return True
        return False

    def _add_lost(self, found: dict[psutil.Process, _Figures]) -> None:
        """Add the figures of what is gone and was not added to a process that still lives."""
        by_pid = {process.pid: process for process in self._seen}
        gone: dict[psutil.Process | None, list[tuple[float, float, float]]] = {}
        for process, figures in self._seen.items():
            if process in found:
                continue
            heir = by_pid.get(figures.parent)
            while heir is not None and heir not in found:
                heir = by_pid.get(self._seen[heir].parent)
            gone.setdefault(heir, []).append(figures.added())
        for heir, members in gone.items():
            took = [sum(column) for column in zip(*members, strict=True)]
            given = 0.0 if heir is None else found[heir].children - self._seen[heir].children
            share = max(0.0, 1.0 - given / took[0]) if took[0] > 0 else 0.0
            cpu, read, written = (lost + share * each for lost, each in zip(self._lost, took, strict=True))
            self._lost = (cpu, read, written)


_running: list[Meter] = []


def look() -> None:
    """Let the meter of this process look now, if there is one: before children are ended that nobody waits for."""
    for meter in _running:
        meter.look()


@contextmanager
def measured(*, from_birth: bool, gpus: int = 0) -> Iterator[Meter]:
    """Measure this process and its descendants, looking every two seconds from a thread.

    Parameters
    ----------
    from_birth
        Whether what this process took before counts: it does where the process is for one task alone.
    gpus
        GPUs that it may use.
    """
    meter, over = Meter(from_birth=from_birth, gpus=gpus), threading.Event()

    def keep_looking() -> None:
        while not over.wait(LOOK_SECONDS):
            meter.look()

    thread = threading.Thread(target=keep_looking, name="process-usage", daemon=True)
    _running.append(meter)
    thread.start()
    try:
        yield meter
    finally:
        over.set()
        thread.join()
        _running.remove(meter)
