"""Finds and ends the platform's processes: each carries the platform's mark in its environment."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import time
from collections.abc import Iterable, Mapping

import psutil

from pipelines.errors import SpecError
from pipelines.local.airflow_config import MARK
from pipelines.settings import Settings


def mark_of(settings: Settings) -> str:
    """Return the mark of the platform of this home."""
    return hashlib.blake2b(str(settings.home.resolve()).encode(), digest_size=8).hexdigest()


def marked(settings: Settings) -> list[psutil.Process]:
    """Return this user's living processes that carry the platform's mark, and their descendants, but not the caller."""
    mark = mark_of(settings)
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE or process.environ().get(MARK) != mark:
                continue
            for member in (process, *process.children(recursive=True)):
                if member.pid not in own:
                    found[member.pid] = member
    return list(found.values())


def end(processes: Iterable[psutil.Process], grace: float) -> list[psutil.Process]:
    """Terminate processes, kill the process groups that remain after ``grace`` seconds, and return any survivors."""
    targets = [process for process in processes if process.pid != os.getpid()]
    for process in targets:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(targets, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, 9)
            process.kill()
    _, alive = psutil.wait_procs(alive, timeout=5)
    return [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def end_idle_orphans(settings: Settings, supervisor: int) -> list[int]:
    """End the idle task workers that a killed scheduler left behind, and return their process ids.

    One that still runs a task is left to finish it: its title says so.
    """
    try:
        kept = {supervisor, *(child.pid for child in psutil.Process(supervisor).children(recursive=True))}
    except psutil.NoSuchProcess:
        return []
    orphans = [process for process in marked(settings) if process.pid not in kept and _idle_worker(process)]
    end(orphans, grace=2.0)
    return [process.pid for process in orphans]


def _idle_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        title = " ".join(process.cmdline())
        return "LocalExecutor" in title and "<idle>" in title
    return False


def sweep(settings: Settings, grace: float = 5.0) -> list[psutil.Process]:
    """End all processes with the platform's mark, also those started meanwhile; return any survivors."""
    deadline = time.monotonic() + grace + 10
    survivors: list[psutil.Process] = []
    while targets := marked(settings):
        survivors = end(targets, grace)
        if survivors or time.monotonic() > deadline:
            return survivors or marked(settings)
    return []


def holder(port: int) -> psutil.Process | None:
    """Return the process that listens on a port, if this user may see it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                    return process
    return None


def port_is_free(host: str, port: int) -> bool:
    """Tell whether a server could bind the port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Refuse to start if a port is taken or asked for twice.

    Parameters
    ----------
    host
        Address to bind to.
    ports
        Name of the setting → port.

    Raises
    ------
    SpecError
        Names each port, who holds it and the variable that changes it.
    """
    faults = []
    seen: dict[int, str] = {}
    for name, port in ports.items():
        variable = f"AIMASS_{name.upper()}"
        if port in seen:
            faults.append(f"port {port} is asked for twice: by {seen[port]} and {variable}")
        elif not port_is_free(host, port):
            faults.append(f"port {port} is taken by {describe(holder(port))}; {variable} changes it")
        seen[port] = variable
    if faults:
        raise SpecError(
            f"{len(faults)} port{'s are' if len(faults) > 1 else ' is'} not free",
            where=host,
            seen=", ".join(str(port) for port in ports.values()),
            expected="free ports",
            cure="stop the process that holds the port, or set the variable to another port",
            faults=faults,
        )


def describe(process: psutil.Process | None) -> str:
    """Return a process in words, without its arguments."""
    if process is None:
        return "a process of another user"
    with contextlib.suppress(psutil.Error):
        return f"process {process.pid} ({process.name()})"
    return f"process {process.pid}"
