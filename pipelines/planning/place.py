"""Where each stage of a night runs, by the settings."""

from __future__ import annotations

from pipelines import stages
from pipelines.clusters import THREADS_BELOW_BYTES
from pipelines.local.dag_file import Declared
from pipelines.settings import Settings

ROW_BYTES = 200
"""Of a table of 20 columns in memory."""
DEFAULT_QUEUE = "default"


def place_of(name: str, declared: Declared, settings: Settings, rows: float) -> str:
    """Return in words where a stage runs: executor, pool, queue; and the engine of one that uses one.

    Parameters
    ----------
    rows
        That it works on.
    """
    executor = getattr(settings, "executor", None) or "LocalExecutor"
    words = [executor, *([f"pool {declared.pool}"] if stages.get(name).pool else [])]
    if declared.queue and declared.queue != DEFAULT_QUEUE:
        words.append(f"queue {declared.queue}")
    engine = {"clean": _dask, "features": _dask, "tune": _ray}.get(name)
    return ", ".join(words) + (f"; {engine(name, settings, rows)}" if engine else "")


def _dask(name: str, settings: Settings, rows: float) -> str:
    address = getattr(settings, "dask_scheduler", None)
    if name == "clean" or rows * ROW_BYTES < THREADS_BELOW_BYTES:
        return f"Dask: {settings.cores} threads"
    return f"Dask: {address}" if address else f"Dask: {settings.cores} processes of that machine"


def _ray(name: str, settings: Settings, rows: float) -> str:
    address = getattr(settings, "ray_address", None)
    return f"Ray: {address}" if address else f"Ray: {settings.cores} cores of that machine"
