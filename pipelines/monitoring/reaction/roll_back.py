"""The rollback as the monitor asks for it: the operation of that name, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from pipelines.artifacts import Call, write_atomic
from pipelines.child_environment import as_environment
from pipelines.settings import Settings, make_private

ACTOR = "rollback:monitor"
SECONDS = 180
STDERR = 2
"""Where its log goes, with that of the monitor."""


def roll_back(settings: Settings, model: str, to: int, why: str) -> str:
    """Make a version live again as ``aimass rollback`` does; return why that failed, "" if it did not.

    A command of another room, not its code.
    """
    folder = make_private(settings.calls / "_operations" / f"rollback-{model}-monitor")
    request = folder / "request.json"
    spec = {"model": model, "to": to, "why": why[:500], "actor": ACTOR}
    write_atomic(request, Call(stage="rollback", spec=spec).model_dump_json(indent=1))
    command = [sys.executable, "-P", "-m", "pipelines", "rollback", str(request)]
    environment = {**os.environ, **as_environment(settings)}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=STDERR, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {SECONDS} s"
    if not done.returncode:
        return ""
    try:
        error = json.loads((folder / "error.json").read_text())
    except (OSError, ValueError):
        return f"exit code {done.returncode}"
    return "; ".join(str(error[name]) for name in ("what", "seen") if error.get(name))[:500]
