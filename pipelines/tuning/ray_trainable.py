"""The Ray Tune trainable: runs proposals one after the other in a process that keeps the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import tune

from pipelines.algorithms.base import Family
from pipelines.algorithms.training_data import Columns
from pipelines.tuning.trial_runner import run_trial


class Trial(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """One trial at a time; the actor is re-used, so libraries are imported and data is mapped once."""

    def setup(
        self, config: dict[str, Any], families: dict[str, Family], columns: Columns, folder: str, seed: int
    ) -> None:
        """Keep the shared, read-only columns."""
        self.families, self.columns, self.folder, self.seed = families, columns, Path(folder), seed
        self.config = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next proposal; True tells Tune to re-use this process."""
        self.config = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Run the proposal."""
        return {"done": True, **run_trial(self.config, self.families, self.columns, self.folder, self.seed)}
