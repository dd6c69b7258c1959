"""Runs the bentos that the ledger's serving table asks for: ``python -m pipelines.local.controller``.

A bento is a child of the supervisor, not of this process: it outlives the task that asked for it and a restart of
this loop. The loop compares the table with what the supervisor runs, acts on the difference and writes what it sees.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from circus.exc import CallError

from pipelines.errors import AimassError, DeployError
from pipelines.inference.service.client import is_ready
from pipelines.ledger import Ledger
from pipelines.local import supervisor
from pipelines.local.airflow_config import MARK
from pipelines.local.components import Component, watcher
from pipelines.local.processes import end_idle_orphans, mark_of
from pipelines.settings import Settings, load

TICK_SECONDS = 0.5
READY_WITHIN = 60.0
SILENT_FOR = 5.0
"""A service that answered before and does not for so long hangs: it is killed, and comes back."""
PING_SECONDS = 1.0
DRAIN_SECONDS = 2.0
GRACE_SECONDS = 30.0
CRASHES = 4
CRASH_WINDOW = 60.0
ORPHANS_EVERY = 30.0
BUSY = "already running"  # circus does one change at a time; what it refuses now is asked for in the next pass


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


@dataclass
class Watch:
    """What the controller remembers of one bento.

    Parameters
    ----------
    pids
        When each process of it was first seen.
    responded
        When each process responded last.
    killed
        Processes that were killed here, which are no crashes.
    """

    pids: dict[int, float] = field(default_factory=dict)
    responded: dict[int, float] = field(default_factory=dict)
    killed: set[int] = field(default_factory=set)

    def crashes(self, now: float) -> int:
        """Count the processes lost within the window."""
        started = [at for pid, at in list(self.pids.items())[1:] if now - at < CRASH_WINDOW]
        return len(started) - sum(1 for pid in self.killed if now - self.pids[pid] < CRASH_WINDOW)


def watcher_name(model: str, version: int) -> str:
    """Return the supervisor's name of a bento."""
    return f"bento-{model}-v{version}"


class Controller:
    """Runs one pass per ``tick``; all lasting state is in the ledger and in the supervisor."""

    def __init__(
        self, settings: Settings, ledger: Ledger, parts: Supervisor, folder: Path, ready: Callable[[str], bool]
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.parts = parts
        self.folder = folder
        self.ready = ready
        self.watches: dict[str, Watch] = {}

    def tick(self) -> None:
        """Compare the desired services with the running ones, start or stop them, and record their state."""
        rows = self.ledger.serving()
        names = self.parts.names()
        for row in rows:
            name = watcher_name(row.model, row.version)
            if row.desired == "serve":
                self._serve(row, name, name in names)
            else:
                self._stop(row, name, name in names)
        wanted = {watcher_name(row.model, row.version) for row in rows}
        for orphan in names - wanted:
            if orphan.startswith("bento-"):
                self.parts.remove(orphan)

    def _serve(self, row: Any, name: str, exists: bool) -> None:
        if row.actual == "failed":
            return
        now = time.monotonic()
        if not exists:
            self._begin(row, name)
            return
        address = self._address(name)
        if row.address != address:  # the loop ended between starting it and writing it down
            self.parts.remove(name)
            return
        watch = self.watches.setdefault(name, Watch())
        pid = self.parts.pid(name)
        if pid is not None and pid not in watch.pids:
            watch.pids[pid] = now
            if row.actual == "ready" and row.pid == pid:  # it responded to this loop before a restart
                watch.responded[pid] = now
        since = watch.pids.get(pid, now) if pid is not None else min(watch.pids.values(), default=now)
        if pid is not None and self.ready(address):
            watch.responded[pid] = now
            self._observe(row, "ready", address, pid, "")
        elif watch.crashes(now) >= CRASHES:
            self._fail(row, name, f"ended {CRASHES} times within {CRASH_WINDOW:.0f} s")
        elif pid in watch.responded and now - watch.responded[pid] > SILENT_FOR:
            self.parts.kill(name)
            watch.killed.add(pid)
            del watch.responded[pid]
            self._observe(row, "starting", address, pid, "did not respond, started again")
            self._alert(row, f"version {row.version} of {row.model} did not respond and was started again")
        elif pid not in watch.responded and now - since > READY_WITHIN:
            self._fail(row, name, f"not ready after {READY_WITHIN:.0f} s")
        elif row.actual != "ready" or pid != row.pid:
            self._observe(row, "starting", address, pid, row.detail)

    def _begin(self, row: Any, name: str) -> None:
        from pipelines.deployment.serve import bento_command

        address = self._address(name)
        try:
            socket = Path(address.removeprefix("unix:"))
            command, environment = bento_command(self.settings, row.model, row.version, socket)
            self._observe(row, "starting", address, None, "")
            self.parts.add(name, command, {**environment, MARK: mark_of(self.settings)})
            self.watches[name] = Watch()
        except AimassError as error:
            self._fail(row, None, str(error))
            return

    def _stop(self, row: Any, name: str, exists: bool) -> None:
        if exists:
            asked = (datetime.now(UTC) - row.updated_at).total_seconds()
            if asked < DRAIN_SECONDS:  # let the gateway see the table before the door closes
                return
            self.parts.remove(name)
            return
        self.watches.pop(name, None)
        if row.actual != "absent":
            self.ledger.observe(row.model, row.version, "absent")
            self.ledger.resolve_alert(row.model, f"serving-{row.version}")  # nobody wants it any more

    def _fail(self, row: Any, name: str | None, detail: str) -> None:
        if name is not None:
            self.parts.remove(name)
            self.watches.pop(name, None)
            detail = f"{detail}; see {self.settings.logs / (name + '.log')}"
        self.ledger.observe(row.model, row.version, "failed", detail=detail)
        self._alert(row, f"{row.model} version {row.version} cannot be served: {detail}")

    def _alert(self, row: Any, message: str) -> None:
        self.ledger.alert(row.model, "serving", message, key=f"serving-{row.version}")

    def _address(self, name: str) -> str:
        return f"unix:{self.folder / name}"

    def _observe(self, row: Any, actual: str, address: str | None, pid: int | None, detail: str) -> None:
        if (row.actual, row.address, row.pid, row.detail) == (actual, address, pid, detail):
            return
        self.ledger.observe(row.model, row.version, actual, address=address, pid=pid, detail=detail)
        if actual == "ready":
            self.ledger.resolve_alert(row.model, f"serving-{row.version}")


class CircusParts:
    """The supervisor of the running platform."""

    def __init__(self, settings: Settings, running: supervisor.RunningPlatform) -> None:
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


def main() -> None:
    """Run the loop until this process is terminated."""
    settings = load()
    running = supervisor.recall(settings)
    if running is None:
        raise SystemExit("the platform does not run: start it with aimass up")
    beat = settings.controller_beat
    with Ledger.open(settings) as ledger:
        ready = partial(is_ready, seconds=PING_SECONDS)
        controller = Controller(settings, ledger, CircusParts(settings, running), Path(running.folder), ready)
        looked = 0.0
        while True:
            try:
                controller.tick()
            except CallError as error:
                print(f"the supervisor does not respond: {error}", file=sys.stderr, flush=True)
            if time.monotonic() - looked > ORPHANS_EVERY:
                looked = time.monotonic()
                for pid in end_idle_orphans(settings, running.pid):
                    print(f"ended worker {pid} of a scheduler that was killed", file=sys.stderr, flush=True)
            beat.touch(mode=0o600)
            time.sleep(TICK_SECONDS)


if __name__ == "__main__":
    main()
