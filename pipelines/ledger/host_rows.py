"""What the ledger returns of hosts that serve, one frozen class per table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class HostRow:
    """A host that serves, and its lease.

    Parameters
    ----------
    address
        Where gateways reach its services.
    since
        It has renewed its lease without a gap from then on.
    until
        When its lease is over, by the clock of the database.
    live
        Whether it is not over.
    """

    address: str
    name: str
    since: datetime
    beat_at: datetime
    until: datetime
    live: bool


@dataclass(frozen=True)
class InstancesRow:
    """What one host has of a version: desired and actual state, as in :class:`ServiceRow`."""

    model: str
    version: int
    host: str
    desired: str
    actual: str
    address: str | None
    pid: int | None
    detail: str
    updated_at: datetime

    @property
    def held(self) -> bool:
        """Whether the host serves the version, or is about to."""
        return self.desired == "serve" and self.actual != "failed"
