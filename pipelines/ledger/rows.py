"""What the ledger returns: one frozen class per table, one field per column."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Row

T = TypeVar("T")


@dataclass(frozen=True)
class ModelRow:
    """A model, its newest spec and the columns that identify its rows."""

    name: str
    spec: dict[str, Any]
    identity: list[str] | None
    created_at: datetime


@dataclass(frozen=True)
class NightRow:
    """A night of a model."""

    model: str
    night: str
    as_of: datetime
    source: str
    state: str
    fence: int
    dag_digest: str | None
    params: dict[str, Any] | None
    verdict: dict[str, Any] | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class StageRow:
    """The newest attempt of a stage in a night."""

    model: str
    night: str
    stage: str
    state: str
    fence: int
    attempt: int
    key: str | None
    spec: dict[str, Any] | None
    ref: dict[str, Any] | None
    stats: dict[str, Any] | None
    error: dict[str, Any] | None
    rows: int | None
    seconds: float | None
    reused: bool | None
    started_at: datetime
    finished_at: datetime | None
    made_of: dict[str, Any] | None


@dataclass(frozen=True)
class PublicationRow:
    """The publication of a night, from its reservation on."""

    model: str
    night: str
    version: int | None
    state: str
    fence: int
    as_of: datetime | None
    model_uri: str | None
    model_digest: str | None
    bento_uri: str | None
    mlflow_run: str | None
    verdict: dict[str, Any] | None
    metric: str | None
    score: float | None
    baseline: float | None
    created_at: datetime
    live_at: datetime | None


@dataclass(frozen=True)
class VersionRow(PublicationRow):
    """A publication that has a number, and so a stored model directory."""

    version: int
    model_uri: str
    model_digest: str


@dataclass(frozen=True)
class ServiceRow:
    """The service of a version: desired and actual state.

    Parameters
    ----------
    address
        Those of all instances, separated by blanks.
    pid
        Of the first instance.
    instances
        Processes that are asked for.
    until
        When its lease is over; None: it has none.
    hosts
        That it is asked for on, where several hosts serve.
    """

    model: str
    version: int
    desired: str
    actual: str
    address: str | None
    pid: int | None
    detail: str
    fence: int
    updated_at: datetime
    instances: int
    until: datetime | None
    hosts: int = 1

    @property
    def addresses(self) -> list[str]:
        """The address of each instance."""
        return (self.address or "").split()


@dataclass(frozen=True)
class SwitchRow:
    """A change of the live version, an entry of the hash chain."""

    id: int
    at: datetime
    model: str
    from_version: int | None
    to_version: int
    why: str
    actor: str
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class RolloutRow:
    """The release of a version: how many callers reach it, and how it ended."""

    id: int
    model: str
    version: int
    control: int | None
    night: str
    fence: int
    state: str
    share: int
    shadow: bool
    why: str
    evidence: dict[str, Any] | None
    started_at: datetime
    beat_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class ArmRow:
    """What one gateway counted of one arm of a rollout at one share."""

    rollout: int
    share: int
    arm: str
    gateway: str
    counts: dict[str, Any]
    updated_at: datetime


@dataclass(frozen=True)
class TokenRow:
    """A caller's token, without its text."""

    name: str
    sha256: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    rate: str | None
    quota: str | None


@dataclass(frozen=True)
class UsageRow:
    """What a token asked of a model on one day, UTC."""

    token: str
    model: str
    day: date
    requests: int
    errors: int
    rows: int


@dataclass(frozen=True)
class AlertRow:
    """Something that went wrong, and when it was resolved.

    Parameters
    ----------
    about
        Names of what it is about, such as columns; None: it has no parts.
    calm
        Looks in a row that found nothing while it was open.
    changed_at
        When it last said something else than before.
    """

    id: int
    model: str | None
    key: str
    kind: str
    message: str
    fired_at: datetime
    resolved_at: datetime | None
    about: list[str] | None = None
    calm: int | None = None
    changed_at: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """Identity of the condition: the same whenever it fires."""
        return hashlib.sha256(f"{self.model or ''}\0{self.key}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class WindowRow:
    """A window of a model's traffic that the monitor has judged, and what it found."""

    id: int
    model: str
    kind: str
    started_at: datetime
    ended_at: datetime
    rows: int
    figures: dict[str, Any]


@dataclass(frozen=True)
class TaskUsageRow:
    """What one attempt of a stage or one run of an operation took; see ``pipelines.process_usage.ProcessUsage``."""

    id: int
    model: str | None
    night: str | None
    stage: str
    fence: int
    state: str
    ended_at: datetime
    seconds: float
    cpu_seconds: float
    gpu_seconds: float
    peak_memory: int
    bytes_read: int | None
    bytes_written: int | None


@dataclass(frozen=True)
class ServingUsageRow:
    """What one process of a version, or of the gateway for a model (version 0), took on one day, UTC."""

    model: str
    version: int
    process: str
    day: date
    cpu_seconds: float
    rows: int
    memory: int
    updated_at: datetime


def one_of(kind: type[T], row: Row[Any] | None) -> T | None:
    """Return a row as its class; None stays None."""
    return None if row is None else kind(**row._mapping)


def all_of(kind: type[T], rows: Iterable[Row[Any]]) -> list[T]:
    """Return rows as their class."""
    return [kind(**row._mapping) for row in rows]
