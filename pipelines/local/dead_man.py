"""The dead man's switch: if the monitor stops looking, the controller says so, which has nothing to do with it."""

from __future__ import annotations

from datetime import datetime

from pipelines.ledger import Ledger
from pipelines.monitoring.heartbeat import INTERVAL, overdue
from pipelines.settings import Settings

KEY = "dead-man"


def watch_monitor(settings: Settings, ledger: Ledger, since: datetime, now: datetime) -> None:
    """Fire an alert if the monitor has missed two looks, and resolve it once it looks again.

    Parameters
    ----------
    since
        When the platform came up; a monitor that has not had the time to look is not missed.
    """
    finding = overdue(settings, now)
    if finding.state == "ok":
        ledger.resolve_alert(None, KEY)
    elif now - since > 2 * INTERVAL:
        ledger.alert(None, "monitor", f"{finding.message}. {finding.advice}", KEY)
