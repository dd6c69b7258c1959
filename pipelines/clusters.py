"""Dask and Ray on this machine, on loopback only, gone after use; or the clusters whose addresses are given."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.settings import Settings

THREADS_BELOW_BYTES = 1_000_000_000
SHORT = "/tmp"  # noqa: S108 - a private folder is made inside; TMPDIR may be too long for a socket path


@contextmanager
def dask_scheduler(settings: Settings, nbytes: int) -> Iterator[None]:
    """Choose Dask's scheduler for a table of ``nbytes``: threads when small, a cluster of processes above 1 GB."""
    import dask

    if nbytes < THREADS_BELOW_BYTES:
        with dask.config.set(scheduler="threads", num_workers=settings.cores):
            yield
        return
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=settings.cores,
            threads_per_worker=1,
            memory_limit=int(settings.memory_gb * 1e9 / settings.cores),
            host=settings.host,
            dashboard_address=f"{settings.host}:0",
        ) as cluster,
        Client(cluster),
    ):
        yield


@contextmanager
def ray_session(settings: Settings, object_store_mb: int = 256) -> Iterator[Any]:
    """Start a Ray of our own and give the module; stop it and remove its temporary folder afterwards.

    Ray's socket paths may have 107 characters at most, so its folder is a short private one.
    """
    environment = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    old_umask = os.umask(0o077)
    folder = tempfile.mkdtemp(prefix="aimass-ray-", dir=SHORT if os.path.isdir(SHORT) else None)
    import ray

    try:
        ray.init(
            num_cpus=settings.cores,
            _node_ip_address=settings.host,
            include_dashboard=False,
            object_store_memory=object_store_mb * 1024 * 1024,
            _temp_dir=folder,
            log_to_driver=False,
            configure_logging=False,
            ignore_reinit_error=False,
        )
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        os.umask(old_umask)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
