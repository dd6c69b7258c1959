"""What a worker does with a proposal, whether Ray or a pool of processes runs it."""

from __future__ import annotations

import faulthandler
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.base import Family, OutOfTimeError
from pipelines.algorithms.training_data import Columns
from pipelines.tuning.crossval import UnfitError, Validated, cross_validate
from pipelines.tuning.memory import TooLargeError, check_estimate, memory_cap


def run_trial(
    work: Mapping[str, Any], families: Mapping[str, Family], columns: Columns, folder: Path, seed: int
) -> dict[str, Any]:
    """Run one proposal; an error inside it becomes part of the result and is not raised.

    Parameters
    ----------
    work
        number, family, params, soft and hard (see ``cross_validate``; ``soft`` in seconds from now), rival, rival_loss,
        bars, kill_after (seconds; this process ends itself then), device, gpu_share, memory_mb, sized, rows (see
        ``cross_validate``).
    folder
        Gets the out-of-fold predictions, whole or not at all; and, if this process ends itself, where it hung.
    """
    started = time.time()
    result: dict[str, Any] = {"state": "failed", "loss": float("nan"), "error": "", "device": work["device"]}
    try:
        with _killed_after(work["kill_after"], hung_path(folder, work["number"])):
            result |= _validate(work, families[work["family"]], columns, folder, seed, started)
    except OutOfTimeError as error:
        result |= {"state": "cut", "error": str(error) or "out of time", "needs": error.needs}
    except (UnfitError, TooLargeError) as error:
        result["error"] = str(error)
    except Exception as error:  # noqa: BLE001 - a family may fail in any way; the search goes on without the trial
        result["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:500]
    return {**result, "trial_seconds": time.time() - started}


def _validate(
    work: Mapping[str, Any], learner: Family, columns: Columns, folder: Path, seed: int, started: float
) -> dict[str, Any]:
    check_estimate(learner.memory(columns.shape), work["memory_mb"])
    soft = None if work["soft"] is None else started + work["soft"]
    until = None if soft is None or work["kill_after"] is None else started + work["kill_after"]

    def validate(device: str) -> Validated:
        # One thread for products of matrices: their last digits depend on the number.
        with memory_cap(work["memory_mb"]), threadpool_limits(1, user_api="blas"):
            return cross_validate(
                learner,
                work["params"],
                columns,
                seed=seed,
                threads=1,
                soft=soft,
                hard=work["hard"],
                until=until,
                rival=work["rival"],
                rival_loss=work["rival_loss"],
                bars=work["bars"],
                device=device,
                rows=work["rows"],
                gpu_share=work["gpu_share"],
            )

    device, note = work["device"], ""
    try:
        result = validate(device)
    except (OutOfTimeError, UnfitError):
        raise
    except Exception as error:
        if device == "cpu":
            raise
        # a GPU that is busy, too small or unknown to the library's build: the trial is still worth it
        note = f"on the {device}: {type(error).__name__}: {error}; so it was fitted on the cpu".splitlines()[0][:500]
        device = "cpu"
        result = validate(device)
    state = "pruned" if result.pruned else "done" if np.isfinite(result.loss) else "failed"
    if state == "done":
        save_oof(folder, work["number"], result)
    return {
        "state": state,
        "loss": result.loss,
        "fold_losses": result.fold_losses,
        "fit_seconds": result.fit_seconds,
        "learned": result.learned,
        "error": note if state != "failed" else "its score is not a number",
        "device": device,
        "size": _size(result) if work["sized"] and state != "failed" else 0,
    }


def save_oof(folder: Path, number: int, result: Validated) -> None:
    """Write out-of-fold predictions so that a reader sees none or all of them."""
    path = oof_path(folder, number)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as stream:
        np.save(stream, result.oof, allow_pickle=False)
    partial.replace(path)


def oof_path(folder: Path, number: int) -> Path:
    """Return the file of a trial's out-of-fold predictions."""
    return folder / f"{number:05d}.npy"


def _size(result: Validated) -> int:
    """Return the bytes of the last fold's member as a model directory would hold it."""
    if result.fitted is None:
        return 0
    with tempfile.TemporaryDirectory(prefix="aimass-size-") as folder:
        result.fitted.save(Path(folder), "member")
        return sum(path.stat().st_size for path in Path(folder).iterdir())


def hung_path(folder: Path, number: int) -> Path:
    """Return the file in which a trial that was ended for its time leaves where it was; empty or none: it was not.

    So a process that was killed by someone else can be told from one that ended itself, whatever the clock says.
    """
    return folder / f"{number:05d}.hung"


@contextmanager
def _killed_after(seconds: float | None, trace: Path) -> Iterator[None]:
    """End this process after some seconds, even if a library holds the interpreter's lock for ever."""
    if seconds is None:
        yield
        return
    with trace.open("w") as stream:
        faulthandler.dump_traceback_later(max(0.01, seconds), exit=True, file=stream)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            trace.unlink(missing_ok=True)
