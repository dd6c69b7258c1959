"""Settings of the restore drill."""

from __future__ import annotations

from pydantic import Field

from pipelines.spec import Spec


class DrillSpec(Spec):
    """How old the newest backup may be, and how much of it is proved."""

    max_age_hours: float = Field(default=36.0, gt=0, le=10_000)
    """Age of the newest backup, in hours, above which the drill fails: the nightly one did not run."""
    requests: int = Field(default=500, ge=0, le=100_000)
    """Newest logged requests of each live version that are sent again, each as it was sent; golden rows all are."""
    ready_timeout: float = Field(default=60.0, gt=0, le=600)
    """Seconds that a restored service may take until it is ready."""
