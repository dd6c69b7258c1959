"""Settings of the backup."""

from __future__ import annotations

from pydantic import Field

from pipelines.spec import Spec


class BackupSpec(Spec):
    """What a backup holds besides the databases and the model directories, and which backups are kept.

    A backup is kept as long as one of the four rules names it. The newest one whose every byte was read back is kept
    whatever they say.
    """

    keep: int = Field(default=7, ge=1, le=1000)
    """Number of the newest backups that are kept, however many of them are of one day."""
    daily: int = Field(default=7, ge=0, le=1000)
    """Number of days, UTC, of which the last backup is kept; days without a backup do not count."""
    weekly: int = Field(default=4, ge=0, le=1000)
    """Number of weeks, Monday to Sunday, of which the last backup is kept."""
    monthly: int = Field(default=6, ge=0, le=1000)
    """Number of months of which the last backup is kept."""
    bentos: bool = True
    """Also hold the built bentos that the ledger names, so that a restored home can serve at once."""
    history: bool = True
    """Also hold the increments that nights read from growing sources, so that earlier tables can be built again, and
    the published tables."""
    project: bool = True
    """Also hold the DAG files and the expectation suites beside them."""
    artifacts: bool = True
    """Also hold MLflow's artifacts of every version that the ledger knows: model cards, plots, logged models."""
    free_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the file system that must stay free after the backup; less is refused before anything is written."""
