"""Settings of the operation pause."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.spec import Spec


class PauseSpec(Spec):
    """Which model answers no caller, or does so again, and why."""

    model: str = Field(default="", max_length=63)
    """Name of the model."""
    action: Literal["pause", "resume"] = "pause"
    """Callers get status 503 with the reason, or predictions again."""
    why: str = Field(default="", max_length=500)
    """Reason, which the ledger keeps and callers are told."""
    actor: str = Field(default="pause", min_length=1, max_length=120)
    """Who asks, which the ledger keeps."""
