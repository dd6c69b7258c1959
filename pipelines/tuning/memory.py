"""A cap on what one trial may allocate, so that a greedy configuration fails alone and does not exhaust the machine."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEGA = 2**20
STATUS = Path("/proc/self/status")


class TooLargeError(Exception):
    """A trial needs more memory than it may have; the text says how much that is."""


@contextmanager
def memory_cap(megabytes: int | None) -> Iterator[None]:
    """Let this process allocate at most ``megabytes`` more than it holds now.

    The limit is the kernel's ``RLIMIT_DATA``: private writable memory, whoever allocates it. Shared columns do not
    count. What fails then raises ``MemoryError``, or ends the process where a library cannot bear it.
    """
    held = _held()
    if megabytes is None or held is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = held + megabytes * MEGA
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or "bad_alloc" in str(error) or "out of memory" in str(error).lower():
            raise TooLargeError(f"it needs more than its {megabytes} MB of memory (TuneSpec.trial_memory_mb)") from None
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def check_estimate(need: int, megabytes: int | None) -> None:
    """Raise ``TooLargeError`` if a fit's own estimate, in bytes, is above the cap."""
    if megabytes is not None and need > megabytes * MEGA:
        raise TooLargeError(f"it needs about {need / MEGA:.0f} MB of memory, more than its {megabytes} MB")


def _held() -> int | None:
    """Return the bytes of private writable memory of this process; None where the kernel does not say."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), None)
