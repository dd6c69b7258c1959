"""Settings of the operation rollback."""

from __future__ import annotations

from pydantic import Field

from pipelines.spec import Spec


class RollbackSpec(Spec):
    """Which version goes live again, and why."""

    model: str = Field(default="", max_length=63)
    """Name of the model."""
    to: int | None = Field(default=None, ge=1)
    """Version that goes live; default: the one that was live before the present one."""
    why: str = Field(default="", max_length=500)
    """Reason, which the history keeps."""
    actor: str = Field(default="rollback", min_length=1, max_length=120)
    """Who asks, which the history keeps."""
    replayed: int = Field(default=1_000, ge=0, le=100_000)
    """Newest logged requests of that version whose predictions it must repeat."""
    ready_timeout: float = Field(default=30, gt=0, le=600)
    """Seconds its service may take until it is ready."""
    warm_minutes: int = Field(default=60, ge=0, le=10_080)
    """Minutes that the version it replaces is kept running; 0: it is stopped at once."""
    tolerance: float = Field(default=1e-9, ge=0)
    """Largest difference allowed to a golden or a logged number, absolute or relative to the number."""
