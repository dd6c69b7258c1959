"""What the ledger returns of silences, channels, deliveries and reactions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipelines.ledger.rows import AlertRow


@dataclass(frozen=True)
class SilenceRow:
    """Alerts that are not sent for a while; what is None does not matter."""

    id: int
    model: str | None
    kind: str | None
    fingerprint: str | None
    begun_at: datetime
    until: datetime
    why: str
    actor: str

    def covers(self, alert: AlertRow, moment: datetime) -> bool:
        """Tell whether an alert is silent at a moment."""
        wanted = (self.model, self.kind, self.fingerprint)
        given = (alert.model, alert.kind, alert.fingerprint)
        alike = all(one is None or one == other for one, other in zip(wanted, given, strict=True))
        return alike and self.begun_at <= moment < self.until


@dataclass(frozen=True)
class ChannelRow:
    """How a channel does.

    Parameters
    ----------
    since
        When it was first used; alerts that were over by then are not sent.
    claimed_until
        Another process sends through it until then.
    failures
        Attempts in a row that failed, the last one at ``tried_at`` with ``error``.
    """

    name: str
    since: datetime
    claimed_until: datetime | None
    delivered_at: datetime | None
    failures: int
    failing_since: datetime | None
    tried_at: datetime | None
    error: str


@dataclass(frozen=True)
class DeliveryRow:
    """What was sent last of an alert through a channel: ``firing``, ``resolved``, or nothing since it was silent."""

    alert: int
    channel: str
    state: str
    changed_at: datetime | None
    at: datetime


@dataclass(frozen=True)
class ReactionRow:
    """Something that was done about a condition of a model, or tried."""

    id: int
    at: datetime
    model: str
    kind: str
    version: int | None
    outcome: str
    text: str
