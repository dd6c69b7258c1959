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
