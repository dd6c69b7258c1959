"""The tests' own process on a host of the tests."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hosts import Host, ip

CLONE_NEWNET = 0x40000000


@contextmanager
def inside(host: Host) -> Iterator[None]:
    """Be on a host: sockets that this thread opens, and processes that it starts, are there for good."""
    with Path("/proc/thread-self/ns/net").open() as here, Path(f"/run/netns/{host.name}").open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def mend(host: Host) -> None:
    """Put a host that was cut off on the network again."""
    ip("link", "set", host.link, "up")


def _enter(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
