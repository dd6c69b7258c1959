"""Settings of the stage deploy and of the steps before it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipelines.spec import Spec


class DeploySpec(Spec):
    """When a new version may take over, and how callers come to it."""

    ready_timeout: float = Field(default=60, gt=0, le=600)
    """Seconds the new service may take until it is ready."""
    golden_rows: int = Field(default=200, ge=1, le=200)
    """Golden predictions that the new service must repeat over HTTP."""
    tolerance: float = Field(default=1e-9, ge=0)
    """Largest difference allowed between a served and a golden number, absolute or relative to the number."""
    replay_rows: int = Field(default=1_000, ge=0, le=100_000)
    """Newest logged requests that are sent to the new version before callers reach it; 0: none."""
    replay_days: int = Field(default=7, ge=1, le=90)
    """Days of the prediction log that they are taken from."""
    replay_flips: float | None = Field(default=None, ge=0, le=1)
    """Largest share of them whose predicted label may change; not set: it is shown only."""
    canary: tuple[int, ...] = Field(default=(), max_length=10)
    """Shares of callers in percent that the new version gets one after the other, such as (5, 25, 50, 100), each judged
    against the live version; 0: it gets copies of requests instead (shadow). Empty: it takes over at once."""
    canary_requests: int = Field(default=300, ge=20, le=100_000)
    """Requests that each side of a comparison needs; with fewer the release pauses, and the live version stays."""
    canary_minutes: float = Field(default=30, gt=0, le=180)
    """Minutes after which a canary that lacks requests pauses."""
    canary_errors: float = Field(default=0.01, ge=0, le=1)
    """Share of failed requests by which the new version may exceed the live one."""
    canary_latency_ratio: float = Field(default=2, ge=1, le=100)
    """A prediction is slow if it takes longer than this times the live version's 95th percentile …"""
    canary_latency_ms: float = Field(default=50, ge=0, le=60_000)
    """… and at least this many milliseconds longer. More than one in ten slow predictions end the canary."""
    canary_shift: float = Field(default=0.25, gt=0, le=1)
    """Distance that the distribution of predictions may move, from 0 (the same) to 1 (nothing in common)."""
    floor_score: float | None = None
    """Realised score, in the model's metric, that the live version must reach: once the monitor is sure that it does
    not, the version before is made live again, once per version. Not set: none is."""
    floor_errors: float | None = Field(default=None, gt=0, lt=1)
    """The same for the share of its requests with status 5xx in the monitor's window."""
    instances: int = Field(default=1, ge=1, le=8)
    """Processes that serve a version; with two or more, one that dies or hangs costs no request."""
    hosts: int = Field(default=1, ge=1, le=100)
    """Hosts that a version is served on, each with so many instances, where several serve; with two or more, a host
    that is cut off costs no request."""
    warm_minutes: int = Field(default=60, ge=0, le=10_080)
    """Minutes that the version before is kept running after a switch, for a quick return; 0: it is stopped at once."""

    @model_validator(mode="after")
    def _shares_rise(self) -> Self:
        if any(not 0 <= share <= 100 for share in self.canary) or list(self.canary) != sorted(set(self.canary)):
            raise ValueError("canary must be shares from 0 to 100 that rise, such as (5, 25, 50, 100)")
        return self
