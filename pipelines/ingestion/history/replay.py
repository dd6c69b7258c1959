"""A switch that reads sources only from their recorded history, for reproducing a night."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_recorded: ContextVar[bool] = ContextVar("recorded", default=False)


@contextmanager
def as_recorded() -> Iterator[None]:
    """Use every history as recorded: nothing is read from a source and nothing is written, whatever the date."""
    token = _recorded.set(True)
    try:
        yield
    finally:
        _recorded.reset(token)


def is_recorded() -> bool:
    """Tell whether histories are used as recorded."""
    return _recorded.get()
