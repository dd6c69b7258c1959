"""Which alerts a channel has to tell: pure rules over what the ledger holds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pipelines.ledger.alert_rows import DeliveryRow, SilenceRow
from pipelines.ledger.rows import AlertRow

News = Literal["firing", "changed", "repeated", "resolved", "silenced"]
"""What is new about an alert. ``silenced``: it is over, was silent when it ended, and is never told."""


def news(
    alert: AlertRow, told: DeliveryRow | None, silences: Iterable[SilenceRow], now: datetime, repeat: timedelta | None
) -> News | None:
    """Return what is to be told of an alert; None: nothing.

    A silence holds back that an alert fires, changes or goes on. The end of one that was told is always told.

    Parameters
    ----------
    told
        What was told last; None: nothing yet.
    repeat
        An alert that goes on is told again after this time; None: never.
    """
    if alert.resolved_at is not None:
        if told is None:
            silent = any(silence.covers(alert, alert.resolved_at) for silence in silences)
            return "silenced" if silent else "resolved"
        return "resolved" if told.state == "firing" else None
    if any(silence.covers(alert, now) for silence in silences):
        return None
    if told is None:
        return "firing"
    if alert.changed_at is not None and alert.changed_at != told.changed_at:
        return "changed"
    return "repeated" if repeat is not None and now - told.at >= repeat else None
