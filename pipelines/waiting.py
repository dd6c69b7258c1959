"""Waiting for something to happen elsewhere: ask again and again, for a limited time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T | None], *, seconds: float, every: float) -> T | None:
    """Call a function until it returns something; it is called at least once.

    Parameters
    ----------
    look
        Returns None for as long as there is nothing to see.
    seconds
        How long to go on.
    every
        Seconds between two calls.

    Returns
    -------
    object or None
        What ``look`` returned first that is not None; None: nothing in time.
    """
    from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

    looking = Retrying(
        retry=retry_if_result(lambda seen: seen is None),
        wait=wait_fixed(every),
        stop=stop_after_delay(seconds),
        retry_error_callback=lambda _: None,
    )
    return looking(look)
