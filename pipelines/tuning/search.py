"""The search on Ray Tune; where Ray cannot start or breaks down, the same search in a pool of processes."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from importlib.util import find_spec
from threading import Thread
from typing import Any

from pipelines.algorithms.base import Family
from pipelines.algorithms.training_data import Columns
from pipelines.clusters import prepare_environment, scratch
from pipelines.errors import AimassError
from pipelines.ray_cluster import works
from pipelines.tuning.process_pool import run_in_pool
from pipelines.tuning.trial_manager import CLUSTER_TRIES, Conductor

log = logging.getLogger(__name__)

GRACE_SECONDS = 15.0
"""When Tune itself ends the search, should that fail; it then waits up to ten seconds for a hung process."""

Session = Callable[[], AbstractContextManager[Any]]


def search(
    conductor: Conductor,
    columns: Columns,
    families: Mapping[str, Family],
    *,
    seed: int,
    session: Session | None,
    gpu_share: float | None = None,
    cluster: bool = False,
) -> str:
    """Run trials until the budget is spent; return what ran them: ``ray``, ``ray_cluster`` or ``processes``.

    Parameters
    ----------
    columns
        Put into Ray's object store once.
    session
        Context manager that starts Ray and stops it; None: a local pool of processes will do.
    gpu_share
        Share of a GPU that a trial asks for whose family can use one, where Ray sees any; None: all on the CPU.
    cluster
        Whether ``session`` joins a cluster of other hosts. Without it nothing runs: a search that somebody sized for a
        cluster is not for this machine.

    Raises
    ------
    SpecError
        If the budget is spent before anything can be tried, or the cluster is not as it must be.
    ConnectionError
        If the cluster cannot be reached or breaks down; another attempt takes the search up where it was.
    """
    started = time.time()
    ray, runner = None, "processes"
    with ExitStack() as stack:
        try:
            if session is not None:
                prepare_environment()
                importing = Thread(target=_import_tune)  # Ray's start is waiting, most of it
                importing.start()
                stack.callback(importing.join)
                ray = stack.enter_context(session())
                importing.join()
        except Exception as error:
            if cluster:
                raise
            # whatever keeps Ray from starting, the night goes on without it
            _say_loudly("Ray cannot start", error)
        if ray is not None:
            runner = "ray_cluster" if cluster else "ray"
            log.info(f"Ray is up after {time.time() - started:.1f} s")
            if cluster:
                _take_cluster(conductor, ray)
            conductor.budget.check_start()
            if gpu_share is not None and ray.cluster_resources().get("GPU", 0.0) > 0.0:
                conductor.study.gpu_share = gpu_share
            try:
                _run_in_ray(conductor, columns, families, seed, cluster)
            except AimassError:
                raise
            except Exception as error:
                if cluster:
                    raise ConnectionError(f"the Ray cluster broke down in the middle: {_reason(error)}") from error
                # Ray broke down in the middle: the rest is run without it
                _say_loudly("Ray broke down", error)
                runner = "processes"
    if runner == "processes":
        conductor.study.gpu_share = 0.0
        conductor.take_back()
        conductor.budget.check_start()
        run_in_pool(conductor, columns, families, seed=seed, workers=conductor.budget.cores)
    conductor.end()
    speed = conductor.speed()
    log.info(
        f"search over after {time.time() - started:.1f} s, {len(conductor.outcomes)} trials"
        + (f", {conductor.resumed} of them from a search that was broken off" if conductor.resumed else "")
        + (
            f", {speed['trials_per_minute']} a minute, {speed['overhead_seconds']:.2f} s of overhead each"
            if speed["overhead_seconds"] is not None
            else ""
        )
    )
    return runner


def _take_cluster(conductor: Conductor, ray: Any) -> None:
    """Run as many trials at a time as the cluster has cores, at most a generation."""
    there = ray.cluster_resources()
    budget = conductor.budget
    budget.cores = max(1, min(int(there.get("CPU", 0)), conductor.study.generation))
    conductor.tries = CLUSTER_TRIES
    nodes = sum(node["Alive"] and works(node) for node in ray.nodes())
    cores, gpus = (f"{there.get(name, 0.0):g}" for name in ("CPU", "GPU"))
    log.info(f"{nodes} nodes with {cores} cores and {gpus} GPUs; {budget.cores} trials at a time")


def _run_in_ray(
    conductor: Conductor, columns: Columns, families: Mapping[str, Family], seed: int, cluster: bool
) -> None:
    from ray import tune

    from pipelines.tuning.ray_searcher import StudySearcher, keep_processes
    from pipelines.tuning.ray_trainable import Trial

    # Tune logs a traceback for a killed trial and misses log files that are off; our own lines say what happened.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    budget = conductor.budget
    folder_here = str(conductor.journal.folder)
    shared: dict[str, Any] = {"families": dict(families), "columns": columns, "folder": folder_here, "seed": seed}
    if cluster:
        shared |= {"folder": None, "keeper": _keeper(folder_here)}

    keep_processes(0 if conductor.study.gpu_share else budget.cores)

    def resources(config: Mapping[str, Any]) -> dict[str, float]:
        return {"cpu": 1, "gpu": config["gpu_share"]} if config.get("device") == "gpu" else {"cpu": 1}

    with scratch("tune") as folder:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(Trial, **shared), resources),
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(conductor, remote=cluster),
                num_samples=-1,
                max_concurrent_trials=budget.cores,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
                time_budget_s=max(1.0, budget.left()) + GRACE_SECONDS if budget.timed else None,
            ),
            run_config=tune.RunConfig(
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def preload(families: Mapping[str, Family], cores: int) -> list[str]:
    """Return the modules that Ray's workers import as they start: the trial, and what the first families need."""
    first = [*families.values()][:cores]
    return [
        "pipelines.tuning.ray_trainable",
        *sorted({module for family in first for module in family.needs if find_spec(module)}),
    ]


def _keeper(folder: str) -> Any:
    """Start the process that takes trials' predictions on this host; it is started again if it dies."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from pipelines.tuning.ray_trainable import Keeper

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    return ray.remote(Keeper).options(**options).remote(folder)


def _import_tune() -> None:
    """Import what the search on Ray needs; a failed import is reported where the module is used."""
    with suppress(Exception):
        importlib.import_module("pipelines.tuning.ray_searcher")
        importlib.import_module("pipelines.tuning.ray_trainable")


def _say_loudly(what: str, error: Exception) -> None:
    log.warning(
        f"{what} ({_reason(error)}): the search goes on in a local pool of processes, on the CPU, with the same trials"
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
