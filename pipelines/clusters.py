"""Dask and Ray: started on this machine, on loopback, and stopped after use, or the clusters at given addresses."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from pipelines.dask_cluster import dask_cluster, is_for_cluster
from pipelines.errors import SpecError
from pipelines.locks import try_lock, wait_for_lock
from pipelines.process_usage import look
from pipelines.settings import Settings

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
"""Clusters of this machine are for its own processes alone, whatever address its servers bind to."""
THREADS_BELOW_BYTES = 1_000_000_000
SHORT = "/tmp"  # noqa: S108 - a private folder is made inside; TMPDIR may be too long for a socket path


LOCK = ".in-use"
LEFT_SECONDS = 60.0
"""Only folders older than this may be removed: one that is being created has no lock yet."""


@contextmanager
def scratch(kind: str, parent: str | None = None) -> Iterator[Path]:
    """Yield a private temporary folder, removed after use; also remove those that killed processes left.

    Parameters
    ----------
    kind
        What it is for; folders of other kinds are left alone.
    parent
        Where to make it; None: where temporary files go.
    """
    root = Path(parent or tempfile.gettempdir())
    for lock in root.glob(f"aimass-{kind}-*/{LOCK}"):
        _remove_if_left(lock)
    folder = Path(tempfile.mkdtemp(prefix=f"aimass-{kind}-", dir=root))
    with wait_for_lock(folder / LOCK):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_left(lock: Path) -> None:
    try:
        if lock.parent.stat().st_uid != os.getuid() or time.time() - lock.stat().st_mtime < LEFT_SECONDS:
            return
        held = try_lock(lock)
    except OSError:  # another process has just removed it
        return
    if held is not None:
        with held:
            shutil.rmtree(lock.parent, ignore_errors=True)


NO_PAGES: dict[str, list[str]] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
"""Dask's pages show what is computed to every user of the machine; nobody needs them here."""


@contextmanager
def dask_scheduler(settings: Settings, nbytes: int, *, processes: bool = True) -> Iterator[None]:
    """Choose Dask's scheduler for a table of ``nbytes``: threads when small, processes of this machine above 1 GB.

    Where ``AIMASS_DASK_SCHEDULER`` gives a cluster, a table above this machine's share is for that.

    What a worker was doing when it died is done again by another one, three times. The processes speak TLS, with a
    certificate that is made for this use alone: whoever else could reach them could run code as this user.

    Parameters
    ----------
    processes
        Whether there may be processes of this machine; threads do as well where all that is done is done in them.

    Raises
    ------
    SpecError
        If the same piece of work has ended four workers: with this memory it cannot be done. If the cluster is not as
        it must be, see :func:`pipelines.dask_cluster.dask_cluster`.
    UnreachableError
        If the cluster cannot be reached.
    """
    import dask

    if is_for_cluster(settings, nbytes):
        with dask_cluster(settings) as client, dask.config.set(num_workers=settings.cores):  # of what is done here
            workers = client.nthreads()
            log.info(f"{nbytes / 1e9:.2f} GB: on {len(workers)} Dask workers with {sum(workers.values())} threads")
            yield
        return
    if nbytes < THREADS_BELOW_BYTES or not processes:
        import dask.threaded

        # the function, not its name: for a name Dask imports its cluster, to look for a client of it
        with dask.config.set(scheduler=dask.threaded.get, num_workers=settings.cores):
            yield
        return
    from distributed import Client, KilledWorker, LocalCluster

    share = settings.memory_gb / settings.cores
    try:
        with (
            scratch("dask") as folder,
            dask.config.set(
                {"temporary-directory": str(folder), **NO_PAGES, "distributed.worker.profile.enabled": False}
            ),
            LocalCluster(
                n_workers=settings.cores,
                threads_per_worker=1,
                memory_limit=int(share * 1e9),
                host=LOOPBACK,
                dashboard_address=f"{LOOPBACK}:0",
                security=True,
            ) as cluster,
            Client(cluster),
        ):
            yield
    except KilledWorker as error:
        raise SpecError(
            "a worker ended again and again at the same piece of work: most likely it needs more memory than it has",
            where=f"settings.memory_gb, a share of which each of {settings.cores} workers has",
            seen=f"{error.allowed_failures + 1} workers gone, each with {share:.2g} GB",
            expected="each partition to fit into a worker's share",
            cure="set AIMASS_MEMORY_GB higher, AIMASS_CORES lower, or sample fewer rows",
        ) from None


def visible_gpus(devices: Path = Path("/dev")) -> int:
    """Count the NVIDIA GPUs of this machine that this process may use, without a library to ask.

    Parameters
    ----------
    devices
        Where drivers show them, as ``nvidia0`` and so on.
    """
    found = sum(path.name.removeprefix("nvidia").isdigit() for path in devices.glob("nvidia*"))
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return found
    named = [name.strip() for name in allowed.split(",")]
    return min(found, next((index for index, name in enumerate(named) if name in ("", "-1")), len(named)))


RAY_ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # with a loopback node address: nothing listens elsewhere
    "RAY_AUTH_MODE": "token",  # whoever else on this machine could reach it could run code as this user
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


SPARE = ("start_monitor", "start_log_monitor", "start_api_server")
"""What starts Ray's processes that are not needed here (more nodes, logs to the driver, web pages). They hold 180 MB,
take seconds to start, and the last one asks the addresses that clouds give their machines, whatever is set."""


def prepare_environment() -> None:
    """Set what Ray reads when it is imported; the shell of a stage calls this before it imports the stage."""
    os.environ.update(RAY_ENVIRONMENT)
    os.environ.setdefault("RAY_AUTH_TOKEN", token_hex(32))  # this process and those it starts have it, no file does


@contextmanager
def ray_session(
    settings: Settings, object_store_mb: int = 256, gpus: int | None = None, preload: Sequence[str] = ()
) -> Iterator[Any]:
    """Start a Ray of our own and yield the module; stop it and remove its temporary folder afterwards.

    Ray's socket paths may have 107 characters at most, so its folder is a short private one.

    Parameters
    ----------
    gpus
        GPUs to declare; None: those that Ray finds.
    preload
        Modules that workers import as they start, while the others still wait for one another.

    Raises
    ------
    RuntimeError
        If Ray was imported before ``prepare_environment``: it would listen on every interface.
    """
    unprepared = [name for name, value in RAY_ENVIRONMENT.items() if os.environ.get(name) != value]
    if unprepared and "ray" in sys.modules:
        raise RuntimeError(f"Ray was imported without {', '.join(unprepared)}: call prepare_environment() first")
    prepare_environment()
    old_umask = os.umask(0o077)
    try:
        with scratch("ray", SHORT if os.path.isdir(SHORT) else None) as folder:
            import ray

            try:
                leave_out_spare_processes()
                with chdir(folder):  # else workers would take modules from the caller's folder first
                    ray.init(
                        num_cpus=settings.cores,
                        num_gpus=gpus,
                        _node_ip_address=LOOPBACK,
                        include_dashboard=False,
                        object_store_memory=object_store_mb * 1024 * 1024,
                        _temp_dir=str(folder),
                        log_to_driver=False,
                        configure_logging=False,
                        _system_config={"preload_python_modules": list(preload), "prestart_worker_first_driver": False},
                        ignore_reinit_error=False,
                    )
                yield ray
            finally:
                look()  # nobody waits for Ray's workers
                ray.shutdown()
    finally:
        os.umask(old_umask)


def leave_out_spare_processes() -> None:
    """Let this process start none of Ray's parts that are not needed here; ``ray.init`` has no setting for that."""
    from ray._private.node import Node

    for name in SPARE:
        getattr(Node, name)  # another version of Ray that has no such method needs another way
        setattr(Node, name, lambda *_, **__: None)
