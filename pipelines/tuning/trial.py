"""The Ray Tune trainable: runs proposals one after the other in a process that keeps the data."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from pipelines.algorithms.base import Family, OutOfTimeError
from pipelines.algorithms.table import Columns
from pipelines.tuning.crossval import UnfitError, cross_validate


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
        """Run the proposal; what goes wrong inside it is an answer, not a crash."""
        config = self.config
        learner = self.families[config["family"]]
        started = time.time()
        soft = None if config["soft"] is None else started + config["soft"]
        watch = _kill_after(config["kill_after"])
        answer: dict[str, Any] = {"done": True, "state": "failed", "loss": float("nan"), "error": ""}
        try:
            result = cross_validate(
                learner, config["params"], self.columns, seed=self.seed, threads=1,
                soft=soft, hard=config["hard"], rival=config["rival"],
            )  # fmt: skip
            state = "pruned" if result.pruned else "done" if np.isfinite(result.loss) else "failed"
            if state == "done":
                np.save(oof_path(self.folder, config["number"]), result.oof, allow_pickle=False)
            answer |= {
                "state": state, "loss": result.loss, "fold_losses": result.fold_losses,
                "fit_seconds": result.fit_seconds, "learned": result.learned,
                "error": "" if state != "failed" else "its score is not a number",
            }  # fmt: skip
        except OutOfTimeError:
            answer |= {"state": "cut", "error": "out of time"}
        except UnfitError as error:
            answer["error"] = str(error)
        except Exception as error:  # noqa: BLE001 - a family may fail in any way; the search goes on without the trial
            answer["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:500]
        finally:
            if watch is not None:
                watch.cancel()
        return {**answer, "trial_seconds": time.time() - started}


def _kill_after(seconds: float | None) -> threading.Timer | None:
    """End this process after some seconds, whatever it is busy with then; cancelled when the trial ends before."""
    if seconds is None:
        return None
    timer = threading.Timer(max(0.0, seconds), os._exit, (1,))
    timer.daemon = True
    timer.start()
    return timer


def oof_path(folder: Path, number: int) -> Path:
    """Give the file of a trial's out-of-fold predictions."""
    return folder / f"{number:05d}.npy"
