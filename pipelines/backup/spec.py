"""Settings of the backup."""

from __future__ import annotations

from pydantic import Field

from pipelines.spec import Spec


class BackupSpec(Spec):
    """What a backup holds besides the databases and the model directories, and how many are kept."""

    keep: int = Field(default=7, ge=1, le=1000)
    """Number of backups kept; older ones are removed after a new one has been verified."""
    bentos: bool = True
    """Also copy the built bentos that the ledger names, so that a restored home can serve at once."""
    history: bool = True
    """Also copy the increments that nights read from growing sources, so that earlier tables can be built again."""
    project: bool = True
    """Also copy the DAG files and the expectation suites beside them."""
    free_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the file system that must stay free after the backup; less is refused before anything is written."""
