"""How long things are kept."""

from __future__ import annotations

from pydantic import Field

from pipelines.spec import Spec


class HousekeepingSpec(Spec):
    """What is old enough to go. Versions, their model directories and bentos, and backups are never removed here."""

    nights: int = Field(default=14, ge=1, le=10_000)
    """Newest nights of each model whose folders are kept; those of live and served versions are always kept."""
    log_days: int = Field(default=30, ge=1, le=10_000)
    """Days of the prediction log, and of Airflow's task logs, that are kept."""
    spare_hours: float = Field(default=24.0, ge=1)
    """Hours after the last write during which nothing is removed, because it may be in use."""
