"""One process of a service as the controller sees it: its clocks, its crashes, and whether it hangs."""

from __future__ import annotations

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
        self.since: float | None = None
        """When this process, or none, was first seen."""
        self.responded: float | None = None
        """When this process responded last."""
        self.killed = False
        """Whether this process was killed here, which is no crash."""
        self.lost: list[float] = []
        self.failed_at: float | None = None
        self.why = ""

    def look(self, parts: Supervisor, responds: bool, now: float, *, known: int | None, spared: bool) -> State:
        """Return its state now; one that hangs is killed.

        Parameters
        ----------
        responds
            Whether it does.
        known
            A process that responded to the controller before that was started again.
        spared
            Another instance responds: the end of one that did so, too, is no crash, for it costs nothing.
        """
        pid = parts.pid(self.name)
        if self.since is None or pid != self.pid:
            if self.pid is not None and not self.killed and not (spared and self.responded is not None):
                self.lost.append(now)
            self.pid, self.since, self.killed = pid, now, False
            self.responded = now if pid is not None and pid == known else None
        if pid is not None and responds:
            self.responded = now
            return "ready"
        if sum(now - at < CRASH_WINDOW for at in self.lost) >= CRASHES:
            return self.fail(now, f"ended {CRASHES} times within {CRASH_WINDOW:.0f} s")
        if self.responded is not None:
            if now - self.responded <= SILENT_FOR:  # it may have missed one ping
                return "ready"
            parts.kill(self.name)
            self.since, self.responded, self.killed = now, None, True
            return "hung"
        if now - self.since > READY_WITHIN:
            return self.fail(now, f"not ready after {READY_WITHIN:.0f} s")
        return "starting"

    def fail(self, now: float, why: str) -> State:
        """Note that it cannot be served, and why."""
        self.failed_at, self.why = now, why
        return "failed"

    def rests(self, now: float) -> bool:
        """Tell whether it failed so lately that it is not tried again yet."""
        return self.failed_at is not None and now - self.failed_at < CRASH_WINDOW
