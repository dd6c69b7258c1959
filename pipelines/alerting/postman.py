"""Delivers alerts beside a loop that must not wait for a channel."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pipelines.alerting.deliver import announce
from pipelines.settings import Settings

log = logging.getLogger(__name__)


class Postman:
    """One round at a time, each in a thread that ends with the process.

    Parameters
    ----------
    first
        What a round begins with.
    """

    def __init__(self, settings: Settings, first: Callable[[], None]) -> None:
        self.settings, self.first = settings, first
        self.thread: threading.Thread | None = None

    def go(self) -> None:
        """Begin a round unless one is under way."""
        if self.thread is not None and self.thread.is_alive():
            return
        self.thread = threading.Thread(target=self._round, name="postman", daemon=True)
        self.thread.start()

    def _round(self) -> None:
        try:
            self.first()
            announce(self.settings)
        except Exception as error:  # noqa: BLE001 - the next round tries again
            log.warning(f"alerts are not sent: {type(error).__name__}")
