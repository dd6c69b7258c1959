"""A test message through each channel, whatever the ledger holds."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from pipelines.alerting.channels import channels_of
from pipelines.alerting.message import Message
from pipelines.alerting.senders import SECONDS, ChannelError, send
from pipelines.ledger.rows import AlertRow
from pipelines.settings import Settings

LASTS = timedelta(minutes=1)
"""After which Alertmanager takes it for over."""


def try_channels(settings: Settings, seconds: float = SECONDS) -> list[tuple[str, str, float]]:
    """Return of each channel its name, why it failed ("" if it did not), and the seconds that it took."""
    now = datetime.now(UTC)
    text = "A test: alerts of this installation come through this channel."
    alert = AlertRow(0, None, "test", "test", text, now, now + LASTS)
    tried = []
    for channel in channels_of(settings):
        began, why = time.monotonic(), ""
        try:
            send(channel, Message(None, ((alert, "firing"),)), seconds, now)
        except ChannelError as error:
            why = str(error)
        tried.append((channel.name, why, time.monotonic() - began))
    return tried
