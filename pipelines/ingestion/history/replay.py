"""Whether the histories of sources are taken as they are recorded, as when a night is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_recorded: ContextVar[bool] = ContextVar("recorded", default=False)


@contextmanager
def as_recorded() -> Iterator[None]:
    """Take every history as it is recorded: nothing is read from a source and nothing is written, whatever the date."""
    token = _recorded.set(True)
    try:
        yield
    finally:
        _recorded.reset(token)


def is_recorded() -> bool:
    """Tell whether the histories are taken as they are recorded."""
    return _recorded.get()
