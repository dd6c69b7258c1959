"""Settings of the stage deploy."""

from __future__ import annotations

from pydantic import Field

from pipelines.spec import Spec


class DeploySpec(Spec):
    """When a new version may take over."""

    ready_timeout: float = Field(default=60, gt=0, le=600)
    """Seconds the new service may take until it is ready."""
    golden_rows: int = Field(default=200, ge=1, le=200)
    """Golden predictions that the new service must repeat over HTTP."""
    tolerance: float = Field(default=1e-9, ge=0)
    """Largest difference allowed between a served and a golden number, absolute or relative to the number."""
    instances: int = Field(default=1, ge=1, le=8)
    """Processes that serve a version; with two or more, one that dies or hangs costs no request."""
    warm_minutes: int = Field(default=60, ge=0, le=10_080)
    """Minutes that the version before is kept running after a switch, for a quick return; 0: it is stopped at once."""
