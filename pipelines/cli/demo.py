"""`make run`: the next day of the demo feed, the platform, one night through the scheduler, a report.

Leaves the platform running; `make stop` ends it. stdout carries the report only; its last line is the curl line.
"""

from __future__ import annotations

import sys
import time

from pipelines.cli.console import WRONG, complain, exit_code, note, quiet_stdout, say
from pipelines.cli.night import run_night
from pipelines.errors import AimassError
from pipelines.local.demo import run_demo
from pipelines.settings import load


def main() -> int:
    """Run the demo night; return the exit code."""
    started = time.monotonic()
    with quiet_stdout():
        try:
            done = run_demo(load(), lambda settings, model, at: run_night(settings, model, at=at), note)
        except AimassError as error:
            complain(error)
            return exit_code(error)
        except KeyboardInterrupt:
            note("stopped; the platform stays up until make stop")
            return WRONG
        for line in done.lines:
            say(line)
    note(f"{time.monotonic() - started:.0f} s in all; services stay up until make stop")
    return 0


if __name__ == "__main__":
    sys.exit(main())
