"""Delivers what is due through every channel: at least once, one process at a time, later where a channel fails."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta

from pipelines.alerting.channels import Channel, channels_of
from pipelines.alerting.due import News, news
from pipelines.alerting.message import messages
from pipelines.alerting.senders import SECONDS, ChannelError, send
from pipelines.ledger import Ledger
from pipelines.ledger.alert_rows import ChannelRow
from pipelines.ledger.rows import AlertRow
from pipelines.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=10)
"""Between attempts of a channel that fails: twice as long each time."""
TOLD_AFTER = 3
"""Failures in a row from which the other channels tell of it."""
CHANNEL = "alert_channel"
"""Kind of that alert."""


def deliver(settings: Settings, ledger: Ledger, now: datetime | None = None, seconds: float = SECONDS) -> None:
    """Send what is due; a channel that fails is tried again by a later call, and nothing is ever raised for it.

    Parameters
    ----------
    seconds
        How long a channel may take for a message.
    """
    now = now or datetime.now(UTC)
    configured = channels_of(settings)
    for channel in configured:
        try:
            _deliver(ledger, channel, now, seconds)
        except Exception as error:  # noqa: BLE001 - whoever looks or serves goes on, whatever ails a message
            log.warning(f"alerts through {channel.name}: {channel.plain(f'{type(error).__name__}: {error}')}")
    names = {channel.name for channel in configured}
    for row in ledger.channels() if configured else ():
        if row.failures and row.name not in names:  # it is set no longer
            ledger.channel_worked(row.name, now)
            ledger.resolve_alert(None, f"channel:{row.name}")


def announce(settings: Settings) -> None:
    """Deliver for whoever has no ledger open: a callback that has just fired an alert."""
    if channels_of(settings):
        with Ledger.open(settings) as ledger:
            deliver(settings, ledger)


def _deliver(ledger: Ledger, channel: Channel, now: datetime, seconds: float) -> None:
    row = ledger.claim_channel(channel.name, now)
    if row is None:
        return
    try:
        if not _rests(row, now):
            _send_due(ledger, channel, row, now, seconds)
    finally:
        ledger.keep_channel(channel.name, None)


def _rests(row: ChannelRow, now: datetime) -> bool:
    """Tell whether a channel that failed is not yet tried again."""
    if not row.failures or row.tried_at is None:
        return False
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(row.failures - 1, 10), LONGEST_PAUSE)
    return row.tried_at <= now < row.tried_at + pause


def _send_due(ledger: Ledger, channel: Channel, row: ChannelRow, now: datetime, seconds: float) -> None:
    due: list[tuple[AlertRow, News]] = []
    silences = ledger.silences(lasting=False)
    for alert, told in ledger.unsettled(row):
        new = news(alert, told, silences, now, channel.repeat)
        if alert.key == f"channel:{channel.name}":  # a channel does not tell of itself
            new = "silenced" if alert.resolved_at is not None else None
        if new is not None:
            due.append((alert, new))
    ledger.delivered(channel.name, ((alert, "silenced") for alert, new in due if new == "silenced"), now)
    begun = time.monotonic()
    for message in messages(each for each in due if each[1] != "silenced"):
        ledger.keep_channel(channel.name, now + timedelta(seconds=time.monotonic() - begun))  # one may take long
        try:
            send(channel, message, seconds, now)
        except ChannelError as error:
            failing = ledger.channel_failed(channel.name, str(error), now)
            log.warning(f"alerts through {channel.name} failed {failing.failures} times: {error}")
            if failing.failures >= TOLD_AFTER:
                text = f"alerts cannot be sent through {channel.name}: {error}"
                ledger.alert(None, CHANNEL, text, f"channel:{channel.name}")
            return
        states = ((alert, "resolved" if new == "resolved" else "firing") for alert, new in message.told)
        ledger.delivered(channel.name, states, now)
        ledger.channel_worked(channel.name, now)
        ledger.resolve_alert(None, f"channel:{channel.name}")
