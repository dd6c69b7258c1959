"""Ends a process when its parent ends, however the parent ends."""

from __future__ import annotations

import os
import signal
import threading

PIPE = "AIMASS_PIPE_FD"
"""Environment variable with the descriptor of a pipe whose other end the parent holds while it lives."""


def watch_parent() -> None:
    """End this process and its children when the pipe named by ``PIPE`` closes; do nothing if none is named."""
    descriptor = int(os.environ.pop(PIPE, "-1"))
    if descriptor < 0:
        return

    def wait() -> None:
        try:
            while os.read(descriptor, 1):
                continue
        except OSError:
            return
        end_with_children()

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def end_with_children() -> None:
    """Terminate all descendants, then this process, without clean-up that could hang."""
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        _signal(child.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(children, timeout=3)
    for child in alive:
        _signal(child.pid, signal.SIGKILL)
    os._exit(143)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
