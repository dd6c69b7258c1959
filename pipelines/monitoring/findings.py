"""The findings of the monitor."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Finding(BaseModel):
    """The result of one check.

    ``unknown`` means that there was too little to judge by; it neither fires nor resolves an alert.
    """

    model_config = ConfigDict(frozen=True)

    model: str | None
    """None: a part that serves all models."""
    kind: Literal[
        "gateway", "service", "errors", "availability", "age", "cells", "nulls", "unseen", "drift", "traffic",
        "estimate", "realised", "calibration", "log", "floor",
        "saturation", "memory", "versions", "nights", "stages", "airflow", "queue", "disk", "ledger",
        "backup", "monitor", "housekeeping", "batch_predict", "rollback",
        "restore_drill", "promote", "pause",
    ]  # fmt: skip
    """What was checked; the last eight are the operations themselves."""
    state: Literal["ok", "alert", "unknown"]
    message: str
    value: float | None = None
    """The measured figure, in the unit that the message names."""
    about: tuple[str, ...] | None = None
    """Names of the columns that an alert is about; where they change, the alert says so again."""
    advice: str = ""
    """What the reader of an alert does next."""
    retrain: bool = False
    """Whether a probe says that retraining pays."""

    @property
    def key(self) -> str:
        """Identity of the condition among the alerts of its model."""
        return f"check:{self.kind}"

    @property
    def text(self) -> str:
        """What an alert says."""
        return f"{self.message}. {self.advice}" if self.advice else self.message
