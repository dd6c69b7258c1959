"""The search in a pool of processes of this machine, for when Ray is not to be had.

A trial may be killed, by its limits of time and memory or by the system, and the others go on. That rules out
``concurrent.futures``: one worker that is killed ends all work of its pool, and a task has no limit of time.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.algorithms.base import Family
from pipelines.algorithms.training_data import Columns
from pipelines.clusters import scratch
from pipelines.tuning.trial_manager import Conductor, Turn
from pipelines.tuning.trial_runner import run_trial

ARRAYS = ("X", "y", "w", "fold", "extra")
POLL_SECONDS = 0.2
GRACE_SECONDS = 5.0
"""A worker that has not ended itself this long after it should have is ended from here."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_in_pool(
    conductor: Conductor, columns: Columns, families: Mapping[str, Family], *, seed: int, workers: int
) -> None:
    """Run the conductor's trials until it says that the search is over.

    Parameters
    ----------
    columns
        Written once and mapped by all workers.
    """
    with scratch("pool") as arrays:
        shared = share(columns, arrays)
        crew = [Worker(shared, str(arrays), families, str(conductor.journal.folder), seed) for _ in range(workers)]
        try:
            while _turn(conductor, crew):
                pass
        finally:
            for worker in crew:
                worker.stop()


def _turn(conductor: Conductor, crew: list[Worker]) -> bool:
    """Hand out what there is and take one round of results; return whether to go on."""
    over = False
    for worker in crew:
        if worker.number is None and not over:
            proposal = conductor.next()
            over = proposal is Turn.OVER
            if not isinstance(proposal, Turn):
                worker.give(conductor.work(proposal))
    busy = [worker for worker in crew if worker.number is not None]
    if not busy:
        return not over
    wait([each for worker in busy for each in (worker.pipe, worker.process.sentinel)], POLL_SECONDS)
    for worker in busy:
        number = worker.number
        if number is None:
            continue
        result = worker.take()
        if result is not None:
            conductor.ended(number, result)
        elif not worker.process.is_alive() or worker.overdue():
            conductor.lost(number, cut=worker.overdue())
            worker.restart()
    return True


class Worker:
    """A process that runs trials one after the other; ``number`` is the one it is busy with."""

    def __init__(self, shared: Columns, arrays: str, families: Mapping[str, Family], folder: str, seed: int) -> None:
        self._arguments = (shared, arrays, dict(families), folder, seed)
        self.number: int | None = None
        self._ends_by = float("inf")
        self._start()

    def give(self, work: dict[str, Any]) -> None:
        """Hand over a trial."""
        self.number = work["number"]
        limit = work["kill_after"]
        self._ends_by = float("inf") if limit is None else time.time() + limit + GRACE_SECONDS
        try:
            self.pipe.send(work)
        except OSError:  # it has died since its last trial: the next look at it finds that out
            return

    def take(self) -> dict[str, Any] | None:
        """Return the trial's result, None while there is none."""
        try:
            if not self.pipe.poll():
                return None
            result: dict[str, Any] = self.pipe.recv()
        except (EOFError, OSError):
            return None
        self.number = None
        return result

    def overdue(self) -> bool:
        """Whether it should have ended itself long ago."""
        return time.time() > self._ends_by

    def restart(self) -> None:
        """End the process and start another."""
        self.stop()
        self.number = None
        self._start()

    def stop(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.kill()
        self.process.join()

    def _start(self) -> None:
        # Spawned, not forked: this process has threads whose locks a copy would hold for ever.
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        before = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(dict.fromkeys(THREADS, "1"))
        try:
            self.process = spawn.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
            self.process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        theirs.close()


def share(columns: Columns, folder: Path) -> Columns:
    """Write the arrays into a folder; return the columns without them."""
    for name in ARRAYS:
        array = getattr(columns, name)
        if array is not None:
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
    empty = np.empty(0)
    return dataclasses.replace(columns, X=empty, y=empty, w=empty, fold=empty.astype(np.int8), extra=None)


def mapped(shared: Columns, folder: Path) -> Columns:
    """Return the columns with their arrays mapped from the folder."""
    found = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ARRAYS
        if (folder / f"{name}.npy").exists()
    }
    return dataclasses.replace(shared, **found)


def _serve(
    pipe: Connection, shared: Columns, arrays: str, families: Mapping[str, Family], folder: str, seed: int
) -> None:
    """Run what comes through the pipe until it closes or the parent has gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # a worker is never run in the process that started the search

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    columns = mapped(shared, Path(arrays))
    while True:
        try:
            work = pipe.recv()
        except EOFError:
            return
        pipe.send(run_trial(work, families, columns, Path(folder), seed))
