"""The running supervisor, as the controller uses it: what it runs besides the platform's fixed parts."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from circus.exc import CallError

from pipelines.errors import DeployError
from pipelines.local.components import Component, watcher
from pipelines.local.supervisor import RunningPlatform
from pipelines.settings import Settings

GRACE_SECONDS = 30.0
BUSY = "already running"  # circus does one change at a time; what it refuses now is asked for in the next pass


class CircusParts:
    """The supervisor of the running platform."""

    def __init__(self, settings: Settings, running: RunningPlatform) -> None:
        self.settings = settings
        self.running = running

    def names(self) -> set[str]:
        """Return the names of all watchers."""
        reply = self.running.call("status")
        if "statuses" not in reply:
            raise CallError(str(reply.get("reason", reply)))
        return set(reply["statuses"])

    def pid(self, name: str) -> int | None:
        """Return the process id behind a watcher."""
        pids: list[int] = self.running.call("list", name=name).get("pids") or []
        return pids[0] if pids else None

    def add(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Run a command and keep it running."""
        options = watcher(self.settings, Component(name, command, grace=GRACE_SECONDS))
        options |= {"copy_env": False, "env": environment}
        cmd = options.pop("cmd")
        options.pop("name")
        reply = self.running.call("add", name=name, cmd=cmd, options=options, start=True)
        if reply.get("status") != "ok" and BUSY not in str(reply.get("reason")):
            raise DeployError("the supervisor refuses the service", where=name, seen=reply.get("reason", reply))

    def remove(self, name: str) -> None:
        """Stop it, politely first, and forget it; does not wait, and is asked again while it is still there."""
        self.running.call("rm", name=name)

    def kill(self, name: str) -> None:
        """End its process at once, even a stopped one; circus starts it again."""
        pid = self.pid(name)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
