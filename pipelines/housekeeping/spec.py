"""How long things are kept, and how much room they may take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import Field

from pipelines.spec import Spec

FEWEST = {"nights": 2, "versions": 3, "log_days": 3, "prediction_days": 7}
"""How far each limit is lowered, by halves, while the home is larger than it may be."""


class HousekeepingSpec(Spec):
    """What is old enough to go.

    Whatever these numbers say, what is live, served, in a release, or may be rolled back to stays, and so does what was
    read of growing sources, and every backup.
    """

    nights: int = Field(default=14, ge=1, le=10_000)
    """Newest nights of each model whose folders are kept; those of live and served versions are always kept."""
    versions: int = Field(default=50, ge=1, le=100_000)
    """Newest versions of each model that are kept with model directory, bento and run of MLflow."""
    tables: int = Field(default=10, ge=1, le=100_000)
    """Newest versions of each published table that are kept; what a kept night or a version was made of always is."""
    log_days: int = Field(default=30, ge=1, le=10_000)
    """Days of Airflow's task logs, and of logs of parts that no longer run, that are kept."""
    prediction_days: int | None = Field(default=None, ge=1, le=10_000)
    """Days of the prediction log that are kept; default: as many as of the logs."""
    airflow_days: int = Field(default=90, ge=7, le=10_000)
    """Days of runs, task instances and events that Airflow's own database keeps."""
    usage_days: int = Field(default=400, ge=30, le=10_000)
    """Days that the ledger keeps what a task took of CPU, memory, storage and GPU; of nights with a version, always."""
    mlflow_days: int = Field(default=30, ge=1, le=10_000)
    """Days after which what somebody deleted in MLflow is removed for good; until then it can be restored there."""
    spare_hours: float = Field(default=24.0, ge=1)
    """Hours after the last write during which nothing is removed, because it may be in use."""
    max_gb: float = Field(default=50.0, gt=0, le=1_000_000)
    """Size, in GB, that the whole home may have; while it is larger, fewer nights, versions and days are kept."""
    dry_run: bool = False
    """List what would go, with size and reason, and remove nothing."""

    @property
    def kept_predictions(self) -> int:
        """Days of the prediction log that are kept."""
        return self.log_days if self.prediction_days is None else self.prediction_days

    def stricter(self) -> Iterator[Self]:
        """Yield this policy, then stricter ones, each with half of what the one before keeps, down to the fewest."""
        spec = self.model_copy(update={"prediction_days": self.kept_predictions})
        while True:
            yield spec
            now = {name: int(getattr(spec, name)) for name in FEWEST}
            halves = {name: min(now[name], max(few, now[name] // 2)) for name, few in FEWEST.items()}
            if halves == now:
                return
            spec = spec.model_copy(update=halves)
