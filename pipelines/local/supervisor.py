"""The supervising process: circus, its endpoints on unix sockets in a private folder, no other listener.

``python -m pipelines.local.supervisor CONFIG.json`` runs it in the foreground; ``start`` runs it detached.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from circus.client import CircusClient
from circus.exc import CallError

from pipelines.artifacts import write_json
from pipelines.errors import AimassError
from pipelines.settings import Settings, make_private
from pipelines.waiting import wait_until

START_SECONDS = 20.0


@dataclass(frozen=True)
class RunningPlatform:
    """A running supervisor, as recorded in ``run/platform.json``."""

    pid: int
    created: float
    folder: str
    ports: dict[str, int]

    @property
    def endpoint(self) -> str:
        """Address of the supervisor's unix socket."""
        return f"ipc://{self.folder}/control"

    def alive(self) -> bool:
        """Tell whether the process that was started is still alive."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 1
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    def call(self, command: str, timeout: float = 5.0, **properties: Any) -> dict[str, Any]:
        """Send one command and return the reply.

        Raises
        ------
        CallError
            If the supervisor does not respond in time.
        """
        client = CircusClient(endpoint=self.endpoint, timeout=timeout)
        try:
            reply: dict[str, Any] = client.send_message(command, **properties)
            return reply
        finally:
            client.stop()


def state_file(settings: Settings) -> Path:
    """Return the file that remembers the supervisor."""
    return settings.run_dir / "platform.json"


def recall(settings: Settings) -> RunningPlatform | None:
    """Return the supervisor that was started last, alive or not."""
    try:
        return RunningPlatform(**json.loads(state_file(settings).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def current(settings: Settings) -> RunningPlatform | None:
    """Return the living supervisor."""
    running = recall(settings)
    return running if running is not None and running.alive() else None


def start(
    settings: Settings, watchers: list[dict[str, Any]], environment: dict[str, str], ports: dict[str, int]
) -> RunningPlatform:
    """Start the supervisor detached from this process and its terminal; wait until it responds."""
    make_private(settings.run_dir)
    folder = tempfile.mkdtemp(prefix="aimass-", dir="/tmp" if os.path.isdir("/tmp") else None)  # noqa: S108 - mkdtemp makes it private; sockets need a short path
    config = settings.run_dir / "supervisor.json"
    write_json(config, {"folder": folder, "watchers": watchers})
    log = os.open(settings.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipelines.local.supervisor", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=settings.home,
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(log)
    running = RunningPlatform(process.pid, psutil.Process(process.pid).create_time(), folder, ports)
    write_json(state_file(settings), asdict(running))

    def responds() -> bool | None:
        if process.poll() is not None:
            return False
        with contextlib.suppress(CallError):
            running.call("numwatchers", timeout=1.0)
            return True
        return None

    if wait_until(responds, seconds=START_SECONDS, every=0.0):
        return running
    raise AimassError(
        "the supervisor did not start",
        where=str(settings.logs / "supervisor.log"),
        seen=f"exit code {process.poll()}",
        cure="read the log file",
    )


def forget(settings: Settings) -> None:
    """Remove what a stopped supervisor leaves: its state file and the folder of its sockets."""
    running = recall(settings)
    if running is not None:
        shutil.rmtree(running.folder, ignore_errors=True)
    state_file(settings).unlink(missing_ok=True)


def main(config_path: str) -> None:
    """Run the supervisor until it is told to quit."""
    from circus.arbiter import Arbiter
    from circus.watcher import Watcher

    config = json.loads(Path(config_path).read_text())
    arbiter = Arbiter(
        [Watcher.load_from_config(options) for options in config["watchers"]],
        f"ipc://{config['folder']}/control",
        f"ipc://{config['folder']}/events",
        check_delay=1.0,
    )
    try:
        arbiter.start()
    finally:
        arbiter.stop()


if __name__ == "__main__":
    main(sys.argv[1])
