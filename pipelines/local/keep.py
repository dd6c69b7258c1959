"""Keeps the platform running: ``python -m pipelines.local.keep FILE``, which ``aimass up --at-boot`` installs.

Starts the platform, and starts it again when its supervisor was killed. A platform that ``aimass down`` has stopped
stays down until the next boot. Ends when FILE is removed, or by SIGTERM, which stops the platform first.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from pipelines.errors import AimassError
from pipelines.local import platform, supervisor
from pipelines.locks import try_lock
from pipelines.settings import Settings, load

LOOK_SECONDS = 5.0
AGAIN_SECONDS = 60.0
"""After a start that failed, such as on a port that is taken, the next attempt waits for so long."""


def keep(settings: Settings, file: Path, *, every: float = LOOK_SECONDS, again: float = AGAIN_SECONDS) -> None:
    """Start the platform, and again whenever its supervisor died, until ``file`` is gone."""
    wanted = True
    while file.exists():
        pause = every
        if wanted or was_killed(settings):
            try:
                platform.up(settings, _tell, when=None if wanted else partial(was_killed, settings))
                wanted = False
            except platform.PlatformBusyError:
                pass  # one that is being stopped looks like one that was killed
            except (AimassError, OSError) as error:
                _tell(f"the platform does not start: {error}; the next attempt follows in {again:.0f} s")
                wanted, pause = True, again
        deadline = time.monotonic() + pause
        while file.exists() and time.monotonic() < deadline:
            time.sleep(min(1.0, pause))


def was_killed(settings: Settings) -> bool:
    """Tell whether the supervisor ended without being asked to; one that was asked leaves no trace of itself."""
    running = supervisor.recall(settings)
    return running is not None and not running.alive()


def main(file: Path) -> None:
    """Read the environment from the file and keep the platform; one process of each home does."""
    os.environ.update(json.loads(file.read_text()))
    os.umask(0o077)
    settings = load().ensure()
    held = try_lock(settings.run_dir / "keep.lock")
    if held is None:
        _tell("another process keeps this platform already")
        return
    with held:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            keep(settings, file)
        except SystemExit:
            platform.down(settings, _tell)
            raise


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
