"""File locks between processes; a lock is released when its process ends, however it ends."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy, UnixFileLock

log = logging.getLogger(__name__)


def wait_for_lock(path: Path) -> AcquireReturnProxy[UnixFileLock]:
    """Wait for the lock of a file and take it.

    Returns
    -------
    filelock.AcquireReturnProxy
        A context that holds the lock until it is left.
    """
    return _lock(path).acquire()


def try_lock(path: Path) -> AcquireReturnProxy[UnixFileLock] | None:
    """Take the lock of a file if it is free.

    Returns
    -------
    filelock.AcquireReturnProxy or None
        A context that holds the lock until it is left; None: another process has it.
    """
    from filelock import Timeout

    try:
        return _lock(path).acquire(blocking=False)
    except Timeout:
        return None


def deletion_lock(run_dir: Path) -> AcquireReturnProxy[UnixFileLock]:
    """Wait until nobody else deletes from a home or reads all of it, and take the lock that keeps others from both.

    A backup reads the ledger, then what it names, then MLflow: what vanishes between would be missing in it.

    Parameters
    ----------
    run_dir
        Of the home.

    Returns
    -------
    filelock.AcquireReturnProxy
        A context that holds the lock until it is left.
    """
    path = run_dir / "deletion.lock"
    held = try_lock(path)
    if held is None:
        log.warning("waiting: a backup is reading the home, or something else is being deleted from it")
        held = wait_for_lock(path)
    return held


def _lock(path: Path) -> UnixFileLock:
    from filelock import UnixFileLock

    # Without flock there is no lock: the library's other kind would outlive a killed process.
    return UnixFileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
