"""The dead man's switch: if the monitor stops looking, the controller says so, which has nothing to do with it."""

from __future__ import annotations

from datetime import UTC, datetime

from pipelines.alerting import direct
from pipelines.alerting.senders import SECONDS
from pipelines.ledger import Ledger
from pipelines.monitoring.heartbeat import INTERVAL, overdue
from pipelines.settings import Settings

KEY = "dead-man"
ALONE = "controller"
"""Kind of the alert that needs no ledger."""


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


def tell_alone(settings: Settings, error: Exception, now: datetime | None = None, seconds: float = SECONDS) -> None:
    """Tell, without the ledger, that the controller cannot work: the ledger may be what is broken."""
    seen = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    text = f"the platform's controller cannot work: {seen}. Nobody watches services and monitor. `aimass doctor`"
    direct.fire(settings, ALONE, text, now or datetime.now(UTC), seconds)


def all_well(settings: Settings) -> None:
    """Tell that the controller works again, if it was told that it does not."""
    direct.end(settings, ALONE, datetime.now(UTC))
