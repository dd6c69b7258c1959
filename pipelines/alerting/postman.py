"""Delivers alerts beside a loop that must not wait for a channel."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pipelines.alerting.deliver import deliver
from pipelines.ledger import Ledger
from pipelines.settings import Settings

log = logging.getLogger(__name__)

TOLD_AFTER = 2
"""Rounds in a row that found no usable ledger before it is told."""


class Postman:
    """One round at a time, each in a thread that ends with the process.

    Parameters
    ----------
    failed
        Is told why the ledger cannot be read, after ``TOLD_AFTER`` rounds in a row.
    worked
        Is called after a round that went well.
    """

    def __init__(self, settings: Settings, failed: Callable[[Exception], None], worked: Callable[[], None]) -> None:
        self.settings, self.failed, self.worked = settings, failed, worked
        self.thread: threading.Thread | None = None
        self.failures = 0

    def go(self) -> None:
        """Begin a round unless one is under way."""
        if self.thread is not None and self.thread.is_alive():
            return
        self.thread = threading.Thread(target=self._round, name="postman", daemon=True)
        self.thread.start()

    def _round(self) -> None:
        try:
            with Ledger.open(self.settings) as ledger:  # also without a channel: whether it can be read is told
                deliver(self.settings, ledger)
        except Exception as error:  # noqa: BLE001 - the next round tries again
            self.failures += 1
            log.warning(f"alerts are not sent: {type(error).__name__}")
            if self.failures >= TOLD_AFTER:
                self.failed(error)
        else:
            self.failures = 0
            self.worked()
