"""The Ray Tune trainable: runs proposals one after the other in a process that keeps the data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ray import tune

from pipelines.algorithms.base import Family
from pipelines.algorithms.training_data import Columns
from pipelines.tuning.trial_runner import oof_path, run_trial


class Trial(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """One trial at a time; the actor is re-used, so libraries are imported and data is mapped once."""

    def setup(
        self,
        config: dict[str, Any],
        families: dict[str, Family],
        columns: Columns,
        folder: str | None,
        seed: int,
        keeper: Any = None,
    ) -> None:
        """Keep the shared, read-only columns.

        Parameters
        ----------
        folder
            Of the search; None: it is on another host, where ``keeper`` takes what belongs there.
        """
        self.families, self.columns, self.seed, self.keeper = families, columns, seed, keeper
        self.folder = None if folder is None else Path(folder)
        self.config = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next proposal; True tells Tune to re-use this process."""
        self.config = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Run the proposal."""
        if self.folder is not None:
            return {"done": True, **self._run(self.folder)}
        with tempfile.TemporaryDirectory(prefix="aimass-trial-") as folder:
            result = self._run(Path(folder))
            path = oof_path(Path(folder), self.config["number"])
            if path.exists():
                import ray

                ray.get(self.keeper.keep.remote(self.config["number"], path.read_bytes()))
        return {"done": True, **result}

    def _run(self, folder: Path) -> dict[str, Any]:
        return run_trial(self.config, self.families, self.columns, folder, self.seed)


class Keeper:
    """On the host of the search: writes what trials of other hosts leave into its folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def keep(self, number: int, content: bytes) -> None:
        """Write a trial's out-of-fold predictions, whole or not at all."""
        path = oof_path(self.folder, number)
        partial = path.with_name(f".{path.name}.kept")
        partial.write_bytes(content)
        partial.replace(path)
