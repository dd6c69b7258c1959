"""One process of a service as the controller sees it: its clocks, its crashes, and whether it hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

READY_WITHIN = 60.0
SILENT_FOR = 5.0
"""A process that responded before and does not for so long hangs: it is killed, and comes back."""
CRASHES = 4
CRASH_WINDOW = 60.0

State = Literal["ready", "starting", "hung", "failed"]


class Supervisor(Protocol):
    """The operations that the controller needs from the supervisor."""

    def names(self) -> set[str]:
        """Return the names of all watchers."""

    def pid(self, name: str) -> int | None:
        """Return the process id behind a watcher."""

    def add(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Run a command and keep it running."""

    def remove(self, name: str) -> None:
        """Stop it, politely first, and forget it."""

    def kill(self, name: str) -> None:
        """End its process at once; it is started again."""


class Instance:
    """What is remembered of one instance of a version; its processes follow each other.

    Parameters
    ----------
    name
        The supervisor's name of it.
    address
        Of its socket.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.pid: int | None = None
        self.seen: dict[int, float] = {}
        """When each process was first seen."""
        self.responded: dict[int, float] = {}
        """When each process responded last."""
        self.killed: set[int] = set()
        """Processes that were killed here, which are no crashes."""
        self.failed_at: float | None = None
        self.why = ""

    def look(self, parts: Supervisor, ready: Callable[[str], bool], now: float, known: int | None) -> State:
        """Return its state now; one that hangs is killed.

        Parameters
        ----------
        known
            A process that responded to the controller before that was started again.
        """
        pid = self.pid = parts.pid(self.name)
        if pid is not None and pid not in self.seen:
            self.seen[pid] = now
            if pid == known:
                self.responded[pid] = now
        since = self.seen.get(pid, now) if pid is not None else min(self.seen.values(), default=now)
        if pid is not None and ready(self.address):
            self.responded[pid] = now
            return "ready"
        if self._crashes(now) >= CRASHES:
            return self.fail(now, f"ended {CRASHES} times within {CRASH_WINDOW:.0f} s")
        if pid in self.responded and now - self.responded[pid] > SILENT_FOR:
            parts.kill(self.name)
            self.killed.add(pid)
            del self.responded[pid]
            return "hung"
        if pid in self.responded:  # it may have missed one ping
            return "ready"
        if now - since > READY_WITHIN:
            return self.fail(now, f"not ready after {READY_WITHIN:.0f} s")
        return "starting"

    def rests(self, now: float) -> bool:
        """Tell whether it failed so lately that it is not tried again yet."""
        return self.failed_at is not None and now - self.failed_at < CRASH_WINDOW

    def fail(self, now: float, why: str) -> State:
        """Note that it cannot be served, and why."""
        self.failed_at, self.why = now, why
        return "failed"

    def _crashes(self, now: float) -> int:
        """Count the processes lost within the window."""
        started = [at for pid, at in list(self.seen.items())[1:] if now - at < CRASH_WINDOW]
        return len(started) - sum(1 for pid in self.killed if now - self.seen[pid] < CRASH_WINDOW)
