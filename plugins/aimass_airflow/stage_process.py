"""The subprocess of one stage: started with a clean environment, read line by line, always ended."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from pipelines.__main__ import WAIT
from pipelines.parent_watch import PIPE
from pipelines.process_usage import Meter, ProcessUsage

GRACE_SECONDS = 6.0
LINE_LIMIT = 4000
ITS_ADDRESS = ("AIMASS_AIRFLOW_ADDRESS", "AIMASS_AIRFLOW_PORT")
LOOK_SECONDS = 2.0
"""Seconds between two looks at a stage and its child processes, in case it is killed: what it took, what it leaves."""


def clean_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without Airflow's settings, its database and a task's unusable address of that."""
    source = os.environ if environ is None else environ
    return {name: value for name, value in source.items() if "AIRFLOW" not in name or name in ITS_ADDRESS}


class StageProcess:
    """``python -m pipelines STAGE REQUEST.json`` in the caller's own process group.

    The stage holds the read end of a pipe whose write end is held here: when this process ends, however it ends, the
    stage sees the end of the file, stops its children and exits. ``given`` holds further variables for it. Without a
    request it imports what it needs and waits for :meth:`begin`.
    """

    def __init__(self, stage: str, request: Path | None = None, given: Mapping[str, str] | None = None) -> None:
        self.stage = stage
        read_end, self._write_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipelines", stage, WAIT if request is None else str(request)],
                stdin=subprocess.PIPE if request is None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**clean_environment(), **(given or {}), PIPE: str(read_end), "PYTHONUNBUFFERED": "1"},
                pass_fds=(read_end,),
            )
        except BaseException:
            os.close(self._write_end)
            raise
        finally:
            os.close(read_end)
        from pipelines.clusters import visible_gpus

        self._meter = Meter(self._process.pid, gpus=visible_gpus())

    def begin(self, request: Path, given: Mapping[str, str]) -> None:
        """Pass the request to a stage process that was started without one."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stream:
            stream.write(json.dumps({"request": str(request), "environment": dict(given)}).encode() + b"\n")

    @property
    def waits(self) -> bool:
        """Whether the process is alive and has no request yet."""
        return self._process.stdin is not None and not self._process.stdin.closed and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the stage."""
        return self._process.pid

    @property
    def usage(self) -> ProcessUsage:
        """What it took until it was last looked at, for one that was killed before it could tell."""
        return self._meter.usage()

    def follow(self, tell: Callable[[str], None]) -> int:
        """Pass each line of output to ``tell`` until the stage ends; return its exit code, negative for a signal."""
        stream = self._process.stdout
        if stream is None:
            raise RuntimeError("the stage was started without a pipe for its output")
        rest, next_look = b"", 0.0
        with stream:  # closed here and nowhere else: `stop` may be called from another thread meanwhile
            while True:
                if time.monotonic() >= next_look:
                    self._meter.look()
                    next_look = time.monotonic() + LOOK_SECONDS
                if select.select([stream], [], [], 0.2)[0]:
                    data = os.read(stream.fileno(), 65536)
                    if not data:
                        break
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        _say(line, tell)
                elif self._process.poll() is not None:  # a grandchild still holds the pipe
                    break
        _say(rest, tell)
        return self._process.wait()

    def stop(self) -> None:
        """Stop the stage and its children: first through the pipe, then by force after a grace period.

        Once it has ended this does nothing, unless a signal ended it: then it could not stop its children itself, and
        some, such as Ray's agents, would look for it no sooner than after a minute.
        """
        children = self._descendants() if self._process.poll() is None else self._orphans()
        self._close_pipe()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _, alive = psutil.wait_procs(children, timeout=0.5)
        for child in alive:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue

    def dismiss(self) -> None:
        """End a waiting process that is no longer needed."""
        self.stop()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _close_pipe(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    def _orphans(self) -> list[psutil.Process]:
        """Return the processes that a killed stage left; empty if the stage ended by itself."""
        return [child for child in self._meter.children if child.is_running()] if self._process.returncode < 0 else []

    def _descendants(self) -> list[psutil.Process]:
        if self._process.poll() is not None:
            return []
        try:
            return list(psutil.Process(self._process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []


def _say(line: bytes, tell: Callable[[str], None]) -> None:
    text = line.decode(errors="replace").rstrip()
    if text:
        tell(text[:LINE_LIMIT])
