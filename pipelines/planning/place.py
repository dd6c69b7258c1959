"""Where each stage of a night runs, by the settings."""

from __future__ import annotations

from pipelines import stages
from pipelines.clusters import THREADS_BELOW_BYTES
from pipelines.dask_cluster import is_for_cluster
from pipelines.local.dag_file import Declared
from pipelines.local.executors import KUBERNETES
from pipelines.pods import needs_of
from pipelines.settings import Settings

ROW_BYTES = 200
"""Of a table of 20 columns in memory."""
DEFAULT_QUEUE = "default"


def place_of(name: str, declared: Declared, settings: Settings, rows: float) -> str:
    """Return in words where a stage runs: executor, pool, queue, pod; and the engine of one that uses one.

    Parameters
    ----------
    rows
        That it works on.
    """
    words = [str(settings.executor), *([f"pool {declared.pool}"] if stages.get(name).pool else [])]
    if declared.queue and declared.queue != DEFAULT_QUEUE:
        words.append(f"queue {declared.queue}")
    if settings.executor == KUBERNETES:
        words.append(str(needs_of(stages.get(name), declared.pod)))
    engine = {"clean": _dask, "features": _dask, "tune": _ray}.get(name)
    return ", ".join(words) + (f"; {engine(name, settings, rows)}" if engine else "")


def _dask(name: str, settings: Settings, rows: float) -> str:
    nbytes = int(rows * ROW_BYTES)
    if is_for_cluster(settings, nbytes):
        return f"Dask: {settings.dask_scheduler}"
    if name == "clean" or nbytes < THREADS_BELOW_BYTES:
        return f"Dask: {settings.cores} threads"
    return f"Dask: {settings.cores} processes of that machine"


def _ray(name: str, settings: Settings, rows: float) -> str:
    return f"Ray: {settings.ray_address}" if settings.ray_address else f"Ray: {settings.cores} cores of that machine"
